/** How the simulated provider plays a fault on one call's connection. */
import type { ServerResponse } from 'node:http';
import type { FaultRule } from '../sandbox/faults.ts';

const page = '<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>';
const json = { 'content-type': 'application/json;charset=utf-8' };
const dripMs = 250;

/** Plays a fault that comes before the message is taken. False: the call goes on. */
export function playInstead(fault: FaultRule, response: ServerResponse): boolean {
  switch (fault.kind) {
    case 'error':
      sendError(fault, response);
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
  text: string,
): void {
  switch (fault?.kind) {
    case 'accept-then-error':
      return sendError(fault, response);
    case 'accept-then-reset':
      return void response.socket?.resetAndDestroy();
    case 'accept-then-hang':
      return;
    case 'slow-body':
      return drip(response, text);
    case 'html-200':
      return void response.writeHead(200, { 'content-type': 'text/html' }).end(page);
    case 'error':
    case 'reset':
    case 'html-502':
    case 'silent-drop':
    case 'receipt-first':
    case undefined:
      response.writeHead(200, json).end(text);
  }
}

function sendError(fault: FaultRule, response: ServerResponse): void {
  const { status = 503, code = 'ServiceUnavailable', headers = {} } = fault;
  const message = fault.message ?? 'The request has failed due to a temporary failure.';
  response
    .writeHead(status, { ...json, ...headers })
    .end(JSON.stringify({ Code: code, Message: message, RequestId: 'FAULT' }));
}

function drip(response: ServerResponse, text: string): void {
  const bytes = Buffer.from(text);
  response.writeHead(200, { ...json, 'content-length': bytes.length });
  let sent = 0;
  const timer = setInterval(() => {
    response.write(bytes.subarray(sent, sent + 1));
    sent += 1;
    if (sent === bytes.length) response.end();
  }, dripMs);
  response.on('close', () => clearInterval(timer));
}
