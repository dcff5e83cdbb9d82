/** Encrypts every Temporal payload, failures included, so that the server and its UI hold no personal data in clear. */
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import type { Sealer } from './seal.ts';

const { Payload: PayloadType } = proto.temporal.api.common.v1;
const encoding = Buffer.from('binary/encrypted');

/** AES-256-GCM codec under the keyring; payloads sealed with an older key of the ring still open. */
export function createPayloadCodec(sealer: Sealer): PayloadCodec {
  return {
    encode: async (payloads) =>
      payloads.map((payload) => ({
        metadata: { encoding },
        data: sealer.sealBytes(PayloadType.encode(payload).finish()),
      })),
    decode: async (payloads) =>
      payloads.map((payload) => (isSealed(payload) ? openPayload(payload, sealer) : payload)),
  };
}

function isSealed(payload: Payload): boolean {
  return Buffer.from(payload.metadata?.['encoding'] ?? []).equals(encoding);
}

function openPayload(payload: Payload, sealer: Sealer): Payload {
  return PayloadType.decode(sealer.openBytes(payload.data ?? new Uint8Array()));
}
