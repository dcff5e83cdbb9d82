import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import {
  createRemotingConnection,
  decodeFrames,
  encodeRequest,
  parseBody,
} from './rocketmq-remoting.ts';

function answer(header: object, body = ''): Buffer {
  const headerBytes = Buffer.from(JSON.stringify(header));
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(4 + headerBytes.length + body.length, 0);
  lengths.writeUInt32BE(headerBytes.length, 4);
  return Buffer.concat([lengths, headerBytes, Buffer.from(body)]);
}

test('a request is total length, header length, JSON header, body', () => {
  const frame = encodeRequest(7, {
    code: 15,
    fields: { topic: 'orders', queueId: 0 },
    body: { a: 1 },
  });
  assert.equal(frame.readUInt32BE(0), frame.length - 4);
  const headerLength = frame.readUInt32BE(4);
  const header = JSON.parse(frame.toString('utf8', 8, 8 + headerLength)) as Record<string, unknown>;
  assert.deepEqual([header['code'], header['opaque'], header['flag']], [15, 7, 0]);
  assert.deepEqual(header['extFields'], { topic: 'orders', queueId: '0' });
  assert.equal(frame.toString('utf8', 8 + headerLength), '{"a":1}');
});

test('answers are found however the bytes are cut', () => {
  const bytes = Buffer.concat([
    answer({ code: 0, opaque: 1, flag: 1 }, 'one'),
    answer({ code: 17, opaque: 2, flag: 1, remark: 'no topic' }),
  ]);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const first = decodeFrames(bytes.subarray(0, cut));
    const second = decodeFrames(Buffer.concat([first.rest, bytes.subarray(cut)]));
    const answers = [...first.answers, ...second.answers];
    assert.deepEqual(
      answers.map(({ opaque, code, remark, body }) => [opaque, code, remark, body.toString()]),
      [
        [1, 0, '', 'one'],
        [2, 17, 'no topic', ''],
      ],
    );
    assert.equal(second.rest.length, 0);
  }
});

test('another protocol is refused', () => {
  assert.throws(
    () => decodeFrames(Buffer.from('HTTP/1.1 400 Bad Request')),
    /not RocketMQ's protocol/,
  );
});

test('reads maps whose keys are numbers or objects', () => {
  assert.deepEqual(parseBody('{"t":{0:"a:1", 1:"b"},"l":[1,-2.5e3,true,null],"e":{}}'), {
    t: { 0: 'a:1', 1: 'b' },
    l: [1, -2500, true, null],
    e: {},
  });
  assert.deepEqual(parseBody('{{"queueId":1,"topic":"x}"}:{"max":3}}'), {
    '{"queueId":1,"topic":"x}"}': { max: 3 },
  });
  for (const broken of ['', '{', '{"a"}', '{"a":1}x', '[1,]'])
    assert.throws(() => parseBody(broken), SyntaxError, broken);
});

/** Runs `work` with a server that treats each received chunk with `onData`. */
async function withServer(
  onData: (socket: Socket, chunk: Buffer) => void,
  work: (address: string) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (chunk: Buffer) => onData(socket, chunk));
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await work(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

test('overlapping calls get their own answers, in whatever order', () => {
  const held: number[] = [];
  return withServer(
    (socket, chunk) => {
      for (let at = 0; at < chunk.length; at += 4 + chunk.readUInt32BE(at)) {
        const header = chunk.toString('utf8', at + 8, at + 8 + chunk.readUInt32BE(at + 4));
        held.push((JSON.parse(header) as { opaque: number }).opaque);
      }
      if (held.length === 2)
        for (const opaque of held.toReversed())
          socket.write(answer({ code: 0, opaque, flag: 1 }, `to ${opaque}`));
    },
    async (address) => {
      const connection = createRemotingConnection(address, 5000);
      const answers = await Promise.all([
        connection.call({ code: 1 }),
        connection.call({ code: 2 }),
      ]);
      assert.deepEqual(
        answers.map(({ body }) => body.toString()),
        ['to 1', 'to 2'],
      );
      connection.close();
    },
  );
});

test('a lost connection fails the waiting calls and the next call connects again', () => {
  let connections = 0;
  return withServer(
    (socket) => {
      connections++;
      socket.destroy();
    },
    async (address) => {
      const connection = createRemotingConnection(address, 5000);
      await assert.rejects(connection.call({ code: 1 }), /RocketMQ at 127\.0\.0\.1:\d+: /);
      await assert.rejects(connection.call({ code: 1 }), /RocketMQ at/);
      assert.equal(connections, 2);
    },
  );
});

test('a silent server is given up', () =>
  withServer(
    () => {},
    async (address) => {
      const connection = createRemotingConnection(address, 50);
      await assert.rejects(connection.call({ code: 14 }), /did not answer request 14 in 50 ms/);
      connection.close();
    },
  ));
