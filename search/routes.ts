/** The routes that ask about a tenant's messages. */
import type { Route } from '../platform/http.ts';
import type { SearchDeps } from './audience.ts';
import { countsRoute } from './counts.ts';
import { exportRoute } from './export.ts';
import { listRoute } from './list-messages.ts';
import { sqlRoute } from './sql-route.ts';

/** They come before `/v1/messages/:id`, which would take their last word for an id. */
export function messageRoutes<Caller>(deps: SearchDeps<Caller>): Route<Caller>[] {
  return [listRoute(deps), countsRoute(deps), exportRoute(deps), sqlRoute(deps)];
}
