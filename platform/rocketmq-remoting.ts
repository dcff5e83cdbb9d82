/**
 * RocketMQ's remoting protocol over TCP, as far as administration needs it: frames, one connection per address,
 * requests answered by number. mqadmin speaks the same, at the price of a JVM per call.
 */
import { connect, type Socket } from 'node:net';

/** A request: its code, its header fields, and where the code wants one a body: bytes, or what becomes JSON. */
export interface RemotingRequest {
  readonly code: number;
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
  readonly body?: unknown;
}

/** What came back: code 0 is success, `remark` says why not, `body` is the raw body. */
export interface RemotingAnswer {
  readonly opaque: number;
  readonly code: number;
  readonly isAnswer: boolean;
  readonly remark: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const jsonHeader = 0;
const answerFlag = 1;
const maxFrameBytes = 64 * 1024 * 1024;
/** Any version the server knows would do; it decides nothing for the requests used here. */
const protocolVersion = 455;

/** Encodes a request as a frame: total length, header length (top byte 0 = JSON), header, body. */
export function encodeRequest(opaque: number, request: RemotingRequest): Buffer {
  const fields = Object.entries(request.fields ?? {}).map(([key, value]) => [key, String(value)]);
  const header = Buffer.from(
    JSON.stringify({
      code: request.code,
      language: 'JAVA',
      version: protocolVersion,
      opaque,
      flag: 0,
      extFields: Object.fromEntries(fields) as Record<string, string>,
    }),
  );
  const body = encodeBody(request.body);
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(4 + header.length + body.length, 0);
  lengths.writeUInt32BE(header.length, 4);
  return Buffer.concat([lengths, header, body]);
}

function encodeBody(body: unknown): Buffer {
  if (body === undefined) return Buffer.alloc(0);
  return Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
}

/**
 * Takes the complete frames from the start of `received`; `rest` is what waits for more bytes.
 * Errors: a frame that is too large or whose header is not JSON, which means the other side is no RocketMQ server.
 */
export function decodeFrames(received: Buffer): { answers: RemotingAnswer[]; rest: Buffer } {
  const answers: RemotingAnswer[] = [];
  let rest = received;
  while (rest.length >= 4) {
    const length = rest.readUInt32BE(0);
    if (length > maxFrameBytes || length < 4)
      throw new Error(`a frame of ${length} bytes is not RocketMQ's protocol`);
    if (rest.length < 4 + length) break;
    answers.push(decodeFrame(rest.subarray(4, 4 + length)));
    rest = rest.subarray(4 + length);
  }
  return { answers, rest };
}

function decodeFrame(frame: Buffer): RemotingAnswer {
  const headerLength = frame.readUInt32BE(0) & 0xffffff;
  if (frame[0] !== jsonHeader || 4 + headerLength > frame.length)
    throw new Error('the frame header is not JSON, as this client asks for');
  const header = JSON.parse(frame.toString('utf8', 4, 4 + headerLength)) as {
    opaque?: number;
    code?: number;
    flag?: number;
    remark?: string;
    extFields?: Record<string, string>;
  };
  return {
    opaque: header.opaque ?? -1,
    code: header.code ?? -1,
    isAnswer: ((header.flag ?? 0) & answerFlag) === answerFlag,
    remark: header.remark ?? '',
    fields: header.extFields ?? {},
    body: frame.subarray(4 + headerLength),
  };
}

/**
 * Parses the JSON dialect of RocketMQ's bodies, in which a map key may be a number or an object:
 * `{0:"a"}`, `{{"queueId":1}:{…}}`. Such a key is returned as its source text.
 * Errors: SyntaxError with the position.
 */
export function parseBody(text: string): unknown {
  let at = 0;
  const fail = (): never => {
    throw new SyntaxError(`RocketMQ body: unexpected "${text.slice(at, at + 10)}" at ${at}`);
  };
  const skipSpace = () => {
    while (/\s/.test(text.charAt(at)) && at < text.length) at++;
  };
  const accept = (token: string): boolean => {
    skipSpace();
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  const scalar = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
  const readValue = (): unknown => {
    if (accept('{')) return readObject();
    if (accept('[')) return readArray();
    scalar.lastIndex = at;
    const match = scalar.exec(text);
    if (match === null) return fail();
    at += match[0].length;
    return JSON.parse(match[0]);
  };
  const readObject = (): Record<string, unknown> => {
    const entries: [string, unknown][] = [];
    while (!accept('}')) {
      if (entries.length > 0 && !accept(',')) fail();
      skipSpace();
      const keyStart = at;
      const key = readValue();
      const name = typeof key === 'string' ? key : text.slice(keyStart, at);
      if (!accept(':')) fail();
      entries.push([name, readValue()]);
    }
    return Object.fromEntries(entries);
  };
  const readArray = (): unknown[] => {
    const items: unknown[] = [];
    while (!accept(']')) {
      if (items.length > 0 && !accept(',')) fail();
      items.push(readValue());
    }
    return items;
  };
  const value = readValue();
  skipSpace();
  return at === text.length ? value : fail();
}

/** A connection to one name server or broker. It opens at the first call and again after it was lost. */
export interface RemotingConnection {
  /** Sends a request and waits for its answer. Errors: no connection, connection lost, no answer in time. */
  call(request: RemotingRequest): Promise<RemotingAnswer>;
  close(): void;
}

interface Waiting {
  readonly resolve: (answer: RemotingAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Creates the connection to `host:port`; each call has `timeoutMs`. Calls may overlap. */
export function createRemotingConnection(address: string, timeoutMs: number): RemotingConnection {
  const waiting = new Map<number, Waiting>();
  let lastOpaque = 0;
  let socket: Socket | undefined;
  let rest: Buffer = Buffer.alloc(0);

  function lose(lost: Socket, reason: string): void {
    if (socket !== lost) return;
    socket = undefined;
    lost.destroy();
    for (const opaque of waiting.keys())
      take(opaque)?.reject(new Error(`RocketMQ at ${address}: ${reason}`));
  }

  function take(opaque: number): Waiting | undefined {
    const entry = waiting.get(opaque);
    waiting.delete(opaque);
    clearTimeout(entry?.timer);
    return entry;
  }

  function open(): Socket {
    const colon = address.lastIndexOf(':');
    const opened = connect({
      host: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      noDelay: true,
    });
    rest = Buffer.alloc(0);
    opened.on('error', (error) => lose(opened, error.message));
    opened.on('close', () => lose(opened, 'the connection was closed'));
    opened.on('data', (chunk: Buffer) => {
      if (socket !== opened) return;
      try {
        const decoded = decodeFrames(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]));
        rest = decoded.rest;
        for (const answer of decoded.answers)
          if (answer.isAnswer) take(answer.opaque)?.resolve(answer);
      } catch (error) {
        lose(opened, error instanceof Error ? error.message : String(error));
      }
    });
    return opened;
  }

  return {
    call: (request) =>
      new Promise((resolve, reject) => {
        socket ??= open();
        const opaque = ++lastOpaque;
        const timer = setTimeout(() => {
          take(opaque);
          reject(
            new Error(
              `RocketMQ at ${address} did not answer request ${request.code} in ${timeoutMs} ms`,
            ),
          );
        }, timeoutMs);
        waiting.set(opaque, { resolve, reject, timer });
        socket.write(encodeRequest(opaque, request));
      }),
    close: () => {
      if (socket !== undefined) lose(socket, 'closed by us');
    },
  };
}
