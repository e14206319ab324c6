/** The way from a station to its authority: carries signed bytes there and back, and is believed in nothing. */

export type LineStep = 'open' | 'endorse' | 'report' | 'close';

export interface LineTransport {
  /** Rejects with an `EnvironmentError`; whether the request arrived is then unknown. */
  post(step: LineStep, message: Uint8Array): Promise<Uint8Array>;
}
