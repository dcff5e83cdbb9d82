/** How a simulated provider plays a fault on one call's connection. */
import type { ServerResponse } from 'node:http';
import type { FaultRule } from './faults.ts';

/** What a provider answers. */
export interface ProviderReply {
  readonly status: number;
  /** Default: JSON. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

const page = '<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>';
const json = { 'content-type': 'application/json;charset=utf-8' };
const dripMs = 250;

/** Sends an answer as it is. */
export function sendReply(response: ServerResponse, reply: ProviderReply): void {
  response.writeHead(reply.status, { ...json, ...reply.headers }).end(reply.body);
}

/** Plays a fault that comes before the message is taken; `error` is what the provider would say. False: the call goes on. */
export function playInstead(
  fault: FaultRule,
  response: ServerResponse,
  error: ProviderReply,
): boolean {
  switch (fault.kind) {
    case 'error':
      sendReply(response, error);
      return true;
    case 'reset':
      response.socket?.resetAndDestroy();
      return true;
    case 'html-502':
      response.writeHead(502, { 'content-type': 'text/html' }).end(page);
      return true;
    case 'accept-then-error':
    case 'accept-then-reset':
    case 'accept-then-hang':
    case 'slow-body':
    case 'html-200':
    case 'silent-drop':
    case 'receipt-first':
      return false;
  }
}

/** Sends the answer of a message that was taken, or what the fault makes of it. */
export function playAnswer(
  fault: FaultRule | undefined,
  response: ServerResponse,
  { reply, error }: { readonly reply: ProviderReply; readonly error: ProviderReply },
): void {
  switch (fault?.kind) {
    case 'accept-then-error':
      return sendReply(response, error);
    case 'accept-then-reset':
      return void response.socket?.resetAndDestroy();
    case 'accept-then-hang':
      return;
    case 'slow-body':
      return drip(response, reply);
    case 'html-200':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end(page);
    case 'error':
    case 'reset':
    case 'html-502':
    case 'silent-drop':
    case 'receipt-first':
    case undefined:
      sendReply(response, reply);
  }
}

function drip(response: ServerResponse, reply: ProviderReply): void {
  const bytes = Buffer.from(reply.body.padEnd(64));
  response.writeHead(reply.status, {
    ...json,
    ...reply.headers,
    'content-length': bytes.length,
  });
  let sent = 0;
  const timer = setInterval(() => {
    response.write(bytes.subarray(sent, sent + 1));
    sent += 1;
    if (sent === bytes.length) response.end();
  }, dripMs);
  response.on('close', () => clearInterval(timer));
}
