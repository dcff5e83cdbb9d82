/** Elasticsearch as our code uses it: the official client with deadlines of our own, and its failures as problems. */
import { Client, errors } from '@elastic/elasticsearch';
import { problem } from '../contracts/problems.ts';

export interface ElasticsearchOptions {
  /** Base URL; may hold a user and password. */
  readonly url: string;
}

const requestTimeoutMs = 10_000;
const pingTimeoutMs = 2_000;

/**
 * Makes a client; nothing is connected yet. The client asks no `GET /` (it only looks for the product header in answers).
 * One repeat about a second later, for the kept-alive connection that the server has just closed; writers switch it off
 * and repeat themselves.
 */
export function createElasticsearch(options: ElasticsearchOptions): Client {
  return new Client({ node: options.url, maxRetries: 1, requestTimeout: requestTimeoutMs });
}

/** Resolves when the cluster answers within 2 s, whatever its health. Errors: it does not. */
export async function pingElasticsearch(client: Client): Promise<void> {
  await client.cluster.health(
    { filter_path: 'status' },
    { requestTimeout: pingTimeoutMs, maxRetries: 0 },
  );
}

/** Whether the server cannot be reached, or says itself that it cannot answer now. */
export function isUnavailable(error: unknown): boolean {
  if (error instanceof errors.ResponseError)
    return [429, 502, 503, 504].includes(error.statusCode ?? 0);
  return (
    error instanceof errors.ConnectionError ||
    error instanceof errors.TimeoutError ||
    error instanceof errors.NoLivingConnectionsError
  );
}

/** Waits for a request. Errors: the problem `search-unavailable` when Elasticsearch does not answer; all else as it is. */
export async function orSearchProblem<T>(request: Promise<T>): Promise<T> {
  try {
    return await request;
  } catch (error) {
    throw isUnavailable(error) ? searchUnavailable(error) : error;
  }
}

/** The problem of an index that does not answer. */
export function searchUnavailable(cause: unknown) {
  return problem('search-unavailable', { retryAfterSeconds: 2, cause });
}
