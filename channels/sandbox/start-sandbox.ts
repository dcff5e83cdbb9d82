/** Starts every simulated provider under one port, by path, and the control port that reads and steers them. */
import type { RequestListener } from 'node:http';
import { Type } from 'typebox';
import { controlRoute, createControlHandler, type ControlRoute } from './control.ts';
import { listenHttp, type HttpListener } from './http-listener.ts';
import { renderPage } from './page.ts';
import type { OwnListener, Simulator } from './simulator.ts';
import { createSimulators, type Simulators, type SimulatorsOptions } from './simulators.ts';

export interface SandboxOptions extends Partial<SimulatorsOptions> {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Of the providers; default 0, a free one. */
  readonly port?: number;
  /** Default 0, a free one. */
  readonly controlPort?: number;
  /** Ports of simulators that have one of their own, by name; default free ones. */
  readonly ownPorts?: Readonly<Record<string, number>>;
  /** Where receipts of SMS are pushed. */
  readonly receiptUrl?: string;
  /** Simulator's name, or `<name>/<account>` → where it pushes receipts. */
  readonly receiptUrls?: Readonly<Record<string, string>>;
}

/** The simulators themselves are there for tests in the same process. */
export interface Sandbox extends Simulators {
  /** Providers: `${url}/<name>` is a base URL. */
  readonly url: string;
  readonly controlUrl: string;
  /** Where one simulator listens, by its name: `${url}/<name>`, or its own port. */
  readonly urlOf: (name: string) => string;
  /** Simulator's name, or `<name>/<account>` → where it pushes receipts from now on; the others stay as they are. */
  readonly pushReceiptsTo: (urls: Readonly<Record<string, string>>) => void;
  /** False: connections to providers are refused. */
  readonly setListening: (isListening: boolean) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Starts a sandbox with the accounts, signatures and templates of the demos. Errors: a port is taken. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', seed = 1, receiptUrl } = options;
  const named = createSimulators({ ...options, seed });
  const receiptUrls = {
    ...options.receiptUrls,
    ...(receiptUrl === undefined ? {} : { 'sms-aliyun': receiptUrl }),
  };
  const simulators: readonly Simulator[] = Object.values(named);
  for (const simulator of simulators) simulator.pushReceiptsTo?.(receiptUrls);
  const opened: { close(): Promise<void> }[] = [];
  try {
    const providers = await listenHttp(byPath(simulators), { host, port: options.port ?? 0 });
    opened.push(providers);
    const own = new Map<string, OwnListener>();
    for (const simulator of simulators) {
      const { name } = simulator;
      const listener = await simulator.listen?.({ host, port: options.ownPorts?.[name] ?? 0 });
      if (listener === undefined) continue;
      own.set(name, listener);
      opened.push(listener);
    }
    const setListening = async (isListening: boolean) => {
      await providers.setListening(isListening);
      for (const listener of own.values()) await listener.setListening(isListening);
    };
    const routes: ControlRoute[] = [
      ...generalRoutes(simulators, { setListening, isListening: providers.isListening }),
      ...simulators.flatMap((simulator) => simulator.routes),
    ];
    routes.push(
      controlRoute({
        method: 'GET',
        path: '/routes',
        handle: () => routes.map(({ method, path }) => `${method} ${path}`),
      }),
    );
    const control = await listenHttp(createControlHandler(routes), {
      host,
      port: options.controlPort ?? 0,
    });
    opened.push(control);
    return {
      ...named,
      url: providers.url,
      controlUrl: control.url,
      urlOf: (name) => own.get(name)?.url ?? `${providers.url}/${name}`,
      pushReceiptsTo: (urls) => {
        for (const simulator of simulators) simulator.pushReceiptsTo?.(urls);
      },
      setListening,
      close: async () => {
        await Promise.all(opened.map((each) => each.close()));
        for (const simulator of simulators) await simulator.close();
      },
    };
  } catch (error) {
    await Promise.all(opened.map((each) => each.close()));
    for (const simulator of simulators) await simulator.close();
    throw error;
  }
}

/** A simulator on a port of its own, at path `/`, as official SDKs want it. */
export function mountSimulator(
  simulator: Simulator,
  address: { readonly host: string; readonly port: number },
): Promise<HttpListener> {
  return listenHttp((request, response) => simulator.handle?.(request, response), address);
}

/** Hands `/<name>/…` to that simulator as `/…`. */
function byPath(simulators: readonly Simulator[]): RequestListener {
  return (request, response) => {
    const url = request.url ?? '/';
    const simulator = simulators.find(({ name }) => url.startsWith(`/${name}/`));
    if (simulator?.handle === undefined) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('no such provider\n');
      return;
    }
    request.url = url.slice(simulator.name.length + 1);
    simulator.handle(request, response);
  };
}

const pageMessages = 50;

function generalRoutes(
  simulators: readonly Simulator[],
  providers: Pick<HttpListener, 'setListening' | 'isListening'>,
): readonly ControlRoute[] {
  return [
    controlRoute({
      method: 'GET',
      path: '/',
      handle: () =>
        renderPage(
          simulators
            .flatMap((simulator) =>
              simulator.shown(pageMessages).map((each) => ({ ...each, provider: simulator.name })),
            )
            .sort((a, b) => b.at - a.at)
            .slice(0, pageMessages),
        ),
    }),
    controlRoute({ method: 'GET', path: '/healthz', handle: () => ({ status: 'alive' }) }),
    controlRoute({ method: 'GET', path: '/readyz', handle: () => ({ status: 'ready' }) }),
    controlRoute({
      method: 'PUT',
      path: '/listening',
      body: Type.Object({ isListening: Type.Boolean() }, { additionalProperties: false }),
      handle: async ({ body }) => {
        await providers.setListening(body.isListening);
        return { isListening: providers.isListening() };
      },
    }),
    controlRoute({
      method: 'POST',
      path: '/reset',
      handle: () => {
        for (const simulator of simulators) simulator.reset();
      },
    }),
  ];
}
