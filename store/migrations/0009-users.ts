import type { Knex } from 'knex';

/** People who administer, their sessions, and the audit log. */
export async function up(db: Knex): Promise<void> {
  await db.raw(`create table if not exists users (
    id varchar(32) not null primary key,
    login varchar(100) not null,
    name varchar(200) not null,
    password_hash varchar(255) null,
    is_disabled tinyint not null,
    version int not null,
    created_at datetime(3) not null,
    updated_at datetime(3) not null,
    unique key users_login (login)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
  // tenant_id is * for all tenants.
  await db.raw(`create table if not exists user_grants (
    user_id varchar(32) not null,
    tenant_id varchar(64) not null,
    role varchar(16) not null,
    primary key (user_id, tenant_id, role),
    key user_grants_tenant (tenant_id, user_id)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
  // Who a person is at an OIDC provider.
  await db.raw(`create table if not exists user_identities (
    issuer varchar(255) not null,
    subject varchar(255) not null,
    user_id varchar(32) not null,
    primary key (issuer, subject),
    key user_identities_user (user_id)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
  await db.raw(`create table if not exists user_sessions (
    id varchar(16) not null primary key,
    user_id varchar(32) not null,
    kind varchar(16) not null,
    name varchar(200) null,
    secret_hash char(64) not null,
    created_at datetime(3) not null,
    expires_at datetime(3) not null,
    last_used_at datetime(3) null,
    key user_sessions_user (user_id, created_at),
    key user_sessions_expires (expires_at)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
  await db.raw(`create table if not exists login_tries (
    login_hash char(32) not null primary key,
    tries int not null,
    window_ends_at datetime(3) not null,
    key login_tries_ends (window_ends_at)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
  await db.raw(`create table if not exists audit_log (
    number bigint not null auto_increment primary key,
    at datetime(3) not null,
    actor_id varchar(64) null,
    actor_name varchar(200) null,
    operation_id varchar(64) not null,
    tenant_id varchar(64) null,
    target_type varchar(32) null,
    target_id varchar(128) null,
    before_state longtext null,
    after_state longtext null,
    request_id varchar(64) not null,
    status smallint null,
    problem varchar(64) null,
    key audit_log_at (at),
    key audit_log_tenant (tenant_id, number),
    key audit_log_actor (actor_id, number),
    key audit_log_operation (operation_id, number),
    key audit_log_target (target_id, number)
  ) engine=InnoDB default charset=utf8mb4 collate=utf8mb4_bin`);
}
