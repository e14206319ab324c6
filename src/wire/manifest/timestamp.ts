/** RFC 3339 times in UTC, the form that manifests use, to Unix milliseconds and back. */
import { generalizedTimeText, parseGeneralizedTime } from '../der/time.ts';

/**
 * `undefined` when it is not `YYYY-MM-DDThh:mm:ss[.fff]Z` or no such moment exists. A leap second is
 * none: RFC 3339 §5.7 allows it, Unix time cannot express it.
 */
export function parseTimestamp(text: string): number | undefined {
  const match = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z$/.exec(text);
  if (match === null) return undefined;
  const secondsMs = parseGeneralizedTime(`${match.slice(1, 7).join('')}Z`);
  if (secondsMs === undefined) return undefined;
  return secondsMs + Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
}

/** `YYYY-MM-DDThh:mm:ss.fffZ`. Throws a `TypeError` outside the years 0 to 9999. */
export function formatTimestamp(timeMs: number): string {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(generalizedTimeText(timeMs)) ?? [];
  const milliseconds = String(((timeMs % 1000) + 1000) % 1000).padStart(3, '0');
  return `${year}-${month}-${day}T${hour}:${minute}:${second}.${milliseconds}Z`;
}
