/** What the simulated SMS provider has taken, asked over the sandbox's control port. */

export interface ProviderCounts {
  /** Messages that the provider has accepted, and how many different ones. */
  readonly accepted: number;
  readonly acceptedOutIds: number;
}

export interface Provider {
  counts(): Promise<ProviderCounts>;
  /** When a number's message was accepted, in epoch milliseconds; undefined: not yet. */
  acceptedAt(phone: string): Promise<number | undefined>;
  /** How many messages of a template it has accepted. */
  countOf(templateCode: string): Promise<number>;
  /** Changes what the simulator can be told: latency, limits. */
  configure(settings: Readonly<Record<string, unknown>>): Promise<void>;
}

/**
 * `controlUrl`: of one simulator. Errors of all calls: the sandbox does not answer, or answers with anything but 200.
 */
export function openProvider(controlUrl: string): Provider {
  const ask = async (path: string, init?: RequestInit): Promise<unknown> => {
    const answer = await fetch(`${controlUrl}${path}`, init);
    if (answer.status !== 200) throw new Error(`sandbox: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
  return {
    counts: async () => (await ask('/summary')) as ProviderCounts,
    acceptedAt: async (phone) => {
      const { entries } = (await ask(`/accepted?phone=${phone}&limit=1`)) as {
        entries: { at: number }[];
      };
      return entries[0]?.at;
    },
    countOf: async (templateCode) =>
      ((await ask(`/accepted?templateCode=${templateCode}&limit=0`)) as { matched: number })
        .matched,
    configure: async (settings) =>
      void (await ask('/settings', {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(settings),
      })),
  };
}
