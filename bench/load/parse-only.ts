/** Limit: an express handler that parses the body and answers, in a process of its own. */
import express from 'express';
import { serveLoad } from './serve.ts';

export interface ParseOnlyOptions {
  readonly port: number;
}

serveLoad<{ options: ParseOnlyOptions; result: null }>(async ({ port }, begin) => {
  const app = express();
  app.post('/v1/messages', express.json(), (request, response) => {
    const { template } = request.body as { template?: string };
    response
      .status(template === undefined ? 400 : 202)
      .json({ id: 'msg_none', status: 'accepted' });
  });
  const server = app.listen(port, '127.0.0.1');
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
  await begin();
  // Serves until it is killed.
  return new Promise<null>(() => {});
});
