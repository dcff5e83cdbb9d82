/** Rolling windows: of one number by kind of template, and of one account's calls. */
import type { SimulatorSettings, TemplateRegistration } from './simulator-settings.ts';

interface Window {
  readonly count: number;
  readonly windowSeconds: number;
}

export interface Submission {
  readonly phone: string;
  readonly signName: string;
  readonly template: TemplateRegistration;
}

export interface NumberWindows {
  /** The provider's text where one more submission to any of these would pass a limit. */
  refusal(submissions: readonly Submission[], settings: SimulatorSettings): string | undefined;
  /** Counts accepted submissions, delivered or not. */
  record(submissions: readonly Submission[], settings: SimulatorSettings): void;
  clear(): void;
}

/** Windows count submissions; `now` in epoch milliseconds. */
export function createNumberWindows(now: () => number): NumberWindows {
  const times = new Map<string, number[]>();

  /** One-time passwords count by signature over all templates, and over all customers; others by signature and template. */
  const countersOf = (submission: Submission, settings: SimulatorSettings) => {
    const { phone, signName, template } = submission;
    if (settings.windows === null || settings.exemptPhones.includes(phone)) return [];
    if (template.kind === 'otp')
      return [
        { key: `otp ${phone} ${signName}`, windows: settings.windows.otp },
        { key: `otp ${phone}`, windows: settings.windows.platformOtp },
      ];
    const key = `${template.kind} ${phone} ${signName} ${template.templateCode}`;
    return [{ key, windows: settings.windows[template.kind] }];
  };
  const recent = (key: string, windowSeconds: number, clockScale: number) => {
    const since = now() - (windowSeconds * 1000) / clockScale;
    return (times.get(key) ?? []).filter((time) => time > since).length;
  };

  return {
    refusal: (submissions, settings) => {
      for (const submission of submissions)
        for (const { key, windows } of countersOf(submission, settings)) {
          const full = windows.find(
            ({ count, windowSeconds }) => recent(key, windowSeconds, settings.clockScale) >= count,
          );
          if (full !== undefined) return `触发${levelOf(full)}级流控Permits:${full.count}`;
        }
      return undefined;
    },
    record: (submissions, settings) => {
      for (const submission of submissions)
        for (const { key, windows } of countersOf(submission, settings)) {
          // Older ones than the largest count cannot matter to any window.
          const kept = Math.max(0, ...windows.map((window) => window.count));
          times.set(key, [...(times.get(key) ?? []), now()].slice(-Math.max(kept, 1)));
        }
    },
    clear: () => times.clear(),
  };
}

function levelOf(window: Window): string {
  if (window.windowSeconds <= 60) return '分钟';
  return window.windowSeconds <= 3600 ? '小时' : '天';
}

/** Calls of an account within the last second. Gives the milliseconds to wait where one more is too many. */
export function createCallMeter(now: () => number) {
  const times = new Map<string, number[]>();
  return {
    take(account: string, qps: number): number | undefined {
      const at = now();
      const list = times.get(account) ?? [];
      times.set(account, list);
      while (list.length > 0 && (list[0] ?? 0) <= at - 1000) list.shift();
      if (list.length >= qps) return Math.max(1, Math.ceil((list[0] ?? at) + 1000 - at));
      list.push(at);
      return undefined;
    },
    clear: () => times.clear(),
  };
}
