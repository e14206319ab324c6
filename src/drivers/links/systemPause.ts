/** The pause port of a station on Node. */
import type { Pause } from '../../trust/ports/pause.ts';

export const systemPause: Pause = {
  wait: (durationMs) => {
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timeout = setTimeout(resolve, durationMs);
    return {
      over,
      cancel: () => {
        clearTimeout(timeout);
        resolve();
      },
    };
  },
};
