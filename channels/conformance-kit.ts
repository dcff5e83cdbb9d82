/** What the conformance targets of all channels need alike. */
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import type { ReceiptRequest } from '../contracts/channel.ts';
import type { ConformanceFault } from './conformance-target.ts';
import type { FaultRule } from './sandbox/faults.ts';
import { listenHttp, readBody } from './sandbox/http-listener.ts';

/** The sandbox's fault that plays a case. */
export function faultRule(fault: ConformanceFault): FaultRule {
  switch (fault) {
    case 'error-before-accept':
      return { kind: 'error', status: 503 };
    case 'reset-before-accept':
      return { kind: 'reset' };
    case 'accept-then-5xx':
      return { kind: 'accept-then-error', status: 500 };
    case 'accept-then-reset':
    case 'accept-then-hang':
      return { kind: fault };
    case 'accept-then-slow-body':
      return { kind: 'slow-body' };
    case 'accept-then-html':
      return { kind: 'html-200' };
    case 'html-502':
      return { kind: 'html-502' };
  }
}

/** Our receipt address: keeps the raw pushes and acknowledges them with `reply`. */
export async function createMailbox(reply = '{"code":0}') {
  const requests: ReceiptRequest[] = [];
  const listener = await listenHttp(
    (request, response) => {
      void readBody(request, 1024 * 1024).then((body) => {
        const url = new URL(request.url ?? '/', 'http://mailbox');
        const headers = Object.fromEntries(
          Object.entries(request.headers).map(([name, value]) => [name, [value].flat().join()]),
        );
        const query = Object.fromEntries(url.searchParams);
        requests.push({ method: request.method ?? '', query, headers, body });
        response.writeHead(200).end(reply);
      });
    },
    { host: '127.0.0.1', port: 0 },
  );
  return {
    url: listener.url,
    close: listener.close,
    /** All pushes so far. */
    requests: requests as readonly ReceiptRequest[],
    /** The first push whose body has this text, or for which `text` says yes. Errors: none within 5 s. */
    pushWith: async (
      text: string | ((request: ReceiptRequest) => boolean),
    ): Promise<ReceiptRequest> => {
      const deadline = Date.now() + 5000;
      for (;;) {
        const found = requests.find((request) =>
          typeof text === 'string' ? Buffer.from(request.body).includes(text) : text(request),
        );
        if (found !== undefined) return found;
        if (Date.now() > deadline) throw new Error(`no receipt among ${requests.length} pushes`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

/** A port of this machine at which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
