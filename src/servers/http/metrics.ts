/** Counters of the provisioner in the Prometheus format. No label ever holds a peer's text. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { TelemetryPath } from '../../trust/ports/telemetryStore.ts';

/** A request that was answered, in words of ours: the parser knows the methods, routes are patterns. */
export interface AnsweredRequest {
  readonly method: string;
  readonly route: string;
  readonly status: number;
  readonly ms: number;
}

export class Metrics {
  readonly #onRefused: (door: string, code: string) => void;
  readonly #onAnswered: (door: string, answered: AnsweredRequest) => void;
  readonly #registry = new Registry();
  readonly #refusals = new Counter({
    name: 'birthmark_refusals_total',
    help: 'What was refused, by door and stable code',
    labelNames: ['door', 'code'],
    registers: [this.#registry],
  });
  readonly #telemetry = new Counter({
    name: 'birthmark_telemetry_messages_total',
    help: 'Telemetry taken, by path',
    labelNames: ['path'],
    registers: [this.#registry],
  });
  readonly #requests = new Histogram({
    name: 'birthmark_http_request_seconds',
    help: 'HTTP requests by door, method, route and status; the route is its pattern',
    labelNames: ['door', 'method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    registers: [this.#registry],
  });
  readonly #enrolments = new Counter({
    name: 'birthmark_enrolments_total',
    help: 'Operational certificates given out',
    registers: [this.#registry],
  });
  readonly #revocations = new Histogram({
    name: 'birthmark_revocation_seconds',
    help: 'From the request until everything live of the devices had ended',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers: [this.#registry],
  });

  /** The listeners hear of every refusal and of every answer, too. */
  constructor(
    onRefused: (door: string, code: string) => void = () => undefined,
    onAnswered: (door: string, answered: AnsweredRequest) => void = () => undefined,
  ) {
    this.#onRefused = onRefused;
    this.#onAnswered = onAnswered;
  }

  refused(door: string, code: string): void {
    this.#refusals.inc({ door, code });
    this.#onRefused(door, code);
  }

  answered(door: string, answered: AnsweredRequest): void {
    const { method, route, status, ms } = answered;
    this.#onAnswered(door, answered);
    this.#requests.observe({ door, method, route, status }, ms / 1000);
  }

  telemetryTaken(path: TelemetryPath): void {
    this.#telemetry.inc({ path });
  }

  enrolled(): void {
    this.#enrolments.inc();
  }

  revoked(killMs: number): void {
    this.#revocations.observe(killMs / 1000);
  }

  /** A number that is read when somebody asks. */
  watch(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect: () => {
        gauge.set(read());
      },
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
