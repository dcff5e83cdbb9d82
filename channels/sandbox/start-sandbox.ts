/** Starts every simulated provider under one port, by path, and the control port that reads and steers them. */
import type { RequestListener } from 'node:http';
import { Type } from 'typebox';
import {
  createSmsAliyunSimulator,
  type SmsAliyunSimulator,
  type SmsAliyunSimulatorOptions,
} from '../sms-aliyun/simulator.ts';
import { controlRoute, createControlHandler, type ControlRoute } from './control.ts';
import { listenHttp, type HttpListener } from './http-listener.ts';
import { renderPage } from './page.ts';
import { sandboxSmsAliyun } from './seed.ts';
import type { Simulator } from './simulator.ts';

export interface SandboxOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Of the providers; default 0, a free one. */
  readonly port?: number;
  /** Default 0, a free one. */
  readonly controlPort?: number;
  /** Same seed, same draws; default 1. */
  readonly seed?: number;
  /** Simulated seconds in a real one; default 1. */
  readonly clockScale?: number;
  /** Where receipts of SMS are pushed; can be set later by the control API. */
  readonly receiptUrl?: string;
  /** Over the seed of seed.ts. */
  readonly smsAliyun?: SmsAliyunSimulatorOptions;
}

export interface Sandbox {
  /** Providers: `${url}/sms-aliyun` is an `endpoint`. */
  readonly url: string;
  readonly controlUrl: string;
  /** Direct access for tests in the same process. */
  readonly smsAliyun: SmsAliyunSimulator;
  /** False: connections to providers are refused. */
  readonly setListening: (isListening: boolean) => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Starts a sandbox with the accounts, signatures and templates of seed.ts. Errors: a port is taken. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', seed = 1, clockScale, receiptUrl } = options;
  const smsAliyun = createSmsAliyunSimulator({
    ...sandboxSmsAliyun,
    seed,
    ...options.smsAliyun,
    settings: {
      ...(clockScale === undefined ? {} : { clockScale }),
      ...(receiptUrl === undefined ? {} : { receiptUrl }),
      ...options.smsAliyun?.settings,
    },
  });
  const simulators: readonly Simulator[] = [smsAliyun];
  const providers = await listenHttp(byPath(simulators), { host, port: options.port ?? 0 });
  const routes: ControlRoute[] = [
    ...generalRoutes(simulators, providers),
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
  }).catch(async (error: unknown) => {
    await providers.close();
    throw error;
  });
  return {
    url: providers.url,
    controlUrl: control.url,
    smsAliyun,
    setListening: providers.setListening,
    close: async () => {
      await Promise.all([control.close(), providers.close()]);
      for (const simulator of simulators) await simulator.close();
    },
  };
}

/** A simulator on a port of its own, at path `/`, as official SDKs want it. */
export function mountSimulator(
  simulator: Simulator,
  address: { readonly host: string; readonly port: number },
): Promise<HttpListener> {
  return listenHttp((request, response) => simulator.handle(request, response), address);
}

/** Hands `/<name>/…` to that simulator as `/…`. */
function byPath(simulators: readonly Simulator[]): RequestListener {
  return (request, response) => {
    const url = request.url ?? '/';
    const simulator = simulators.find(({ name }) => url.startsWith(`/${name}/`));
    if (simulator === undefined) {
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
  providers: HttpListener,
): readonly ControlRoute[] {
  return [
    controlRoute({
      method: 'GET',
      path: '/',
      handle: () =>
        renderPage(
          simulators
            .flatMap((simulator) => simulator.shown(pageMessages))
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
