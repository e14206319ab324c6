/** The timer port of a device on Node. */
import type { Timer } from '../../device/ports/timer.ts';

export const systemTimer: Timer = {
  nowMs: () => performance.now(),
  wakeAt: (atMs, wake) => {
    const timeout = setTimeout(
      () => {
        void wake();
      },
      // Beyond 2^31 - 1 ms Node fires at once; who waits longer than 24 days wakes early and asks again.
      Math.min(Math.max(0, Math.ceil(atMs - performance.now())), 0x7fff_ffff),
    );
    return () => clearTimeout(timeout);
  },
};
