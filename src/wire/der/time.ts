/**
 * UTCTime and GeneralizedTime in the only form that RFC 5280 §4.1.2.5 allows (seconds present, no
 * fraction, Z), as milliseconds of Unix time. Calendar arithmetic is our own: the ring has no `Date`.
 */

/** 2050-01-01T00:00:00Z: RFC 5280 §4.1.2.5 writes dates before it as UTCTime, dates from it as GeneralizedTime. */
export const firstGeneralizedTimeMs = 2_524_608_000_000;

/** 9999-12-31T23:59:59Z, the date of "no well-defined expiration" (RFC 5280 §4.1.2.5). */
export const noExpirationMs = 253_402_300_799_000;

const firstUtcTimeMs = -631_152_000_000;
const dayMs = 86_400_000;

/** Milliseconds of `YYMMDDHHMMSSZ`; years 50 to 99 are 19YY. `undefined` when the text is anything else. */
export function parseUtcTime(text: string): number | undefined {
  if (!/^\d{12}Z$/.test(text)) return undefined;
  const year = Number(text.slice(0, 2));
  return parseFields(year < 50 ? 2000 + year : 1900 + year, text.slice(2, 12));
}

/** Milliseconds of `YYYYMMDDHHMMSSZ`; `undefined` when the text is anything else. */
export function parseGeneralizedTime(text: string): number | undefined {
  if (!/^\d{14}Z$/.test(text)) return undefined;
  return parseFields(Number(text.slice(0, 4)), text.slice(4, 14));
}

/** `YYMMDDHHMMSSZ`. Throws a `TypeError` outside 1950 to 2049. Milliseconds below a second are dropped. */
export function utcTimeText(timeMs: number): string {
  if (timeMs < firstUtcTimeMs || timeMs >= firstGeneralizedTimeMs) {
    throw new TypeError(`${timeMs} ms cannot be written as UTCTime`);
  }
  return generalizedTimeText(timeMs).slice(2);
}

/** `YYYYMMDDHHMMSSZ`. Throws a `TypeError` outside the years 0 to 9999. */
export function generalizedTimeText(timeMs: number): string {
  const days = Math.floor(timeMs / dayMs);
  const { year, month, day } = civilOf(days);
  if (!(year >= 0 && year <= 9999)) throw new TypeError(`${timeMs} ms is outside GeneralizedTime`);
  const seconds = Math.floor((timeMs - days * dayMs) / 1000);
  const date = two(Math.floor(year / 100)) + two(year % 100) + two(month) + two(day);
  const clock = two(Math.floor(seconds / 3600)) + two(Math.floor(seconds / 60) % 60);
  return `${date}${clock}${two(seconds % 60)}Z`;
}

/** The same day and time that many years on; `undefined` where it would be 29 February of no leap year. */
export function yearsLater(timeMs: number, years: number): number | undefined {
  const text = generalizedTimeText(timeMs);
  return parseFields(Number(text.slice(0, 4)) + years, text.slice(4, 14));
}

/** `text` is MMDDHHMMSS. */
function parseFields(year: number, text: string): number | undefined {
  const [month = 0, day = 0, hour = 0, minute = 0, second = 0] = [0, 2, 4, 6, 8].map((at) =>
    Number(text.slice(at, at + 2)),
  );
  // Leap seconds cannot be told from the next second in Unix time; RFC 5280 has no use for them.
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return undefined;
  if (day < 1 || day > daysOfMonth(year, month)) return undefined;
  return daysOf(year, month, day) * dayMs + (hour * 3600 + minute * 60 + second) * 1000;
}

function daysOfMonth(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day ends one. */
function daysOf(year: number, month: number, day: number): number {
  const marchYear = month <= 2 ? year - 1 : year;
  const marchMonth = (month + 9) % 12;
  const leapDays =
    Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  return marchYear * 365 + leapDays + daysBeforeMarchMonth(marchMonth) + day - 1 - daysToEpoch;
}

/** March to the month: 0, 31, 61, 92, 122, 153, ...: months of 30.6 days on average. */
function daysBeforeMarchMonth(marchMonth: number): number {
  return Math.floor((153 * marchMonth + 2) / 5);
}

/** From 0000-03-01 to 1970-01-01. */
const daysToEpoch = 719_468;
const daysOf400Years = 146_097;

function civilOf(days: number): { year: number; month: number; day: number } {
  const fromMarch0 = days + daysToEpoch;
  const era = Math.floor(fromMarch0 / daysOf400Years);
  const dayOfEra = fromMarch0 - era * daysOf400Years;
  // Each leap day met so far is taken out again, so that years are 365 days long.
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: era * 400 + yearOfEra + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - daysBeforeMarchMonth(marchMonth) + 1,
  };
}

/** Below 100. */
function two(value: number): string {
  return value < 10 ? `0${value}` : `${value}`;
}
