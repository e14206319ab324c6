/**
 * Which connections may begin their handshake, when everybody comes at once: after an outage thousands of
 * devices return within a second, and each costs a signature and a path. So many are in flight from one
 * address and in all; the others wait, address by address in turn, and beyond that they are turned away and
 * come again. Whoever is inside already is served meanwhile.
 */

export interface HandshakeLimits {
  /** Connections whose peer is not verified yet. */
  readonly handshakes: number;
  /** Of one address: an IPv4 address, or 64 bits of IPv6. */
  readonly handshakesPerAddress: number;
  /** Connections that wait for their turn. */
  readonly waiting: number;
  readonly waitingPerAddress: number;
}

export class HandshakeQueue<Item> {
  readonly #limits: HandshakeLimits;
  readonly #begin: (item: Item) => void;
  readonly #inFlight = new Map<Item, string>();
  readonly #inFlightOf = new Map<string, number>();
  /** By address; the address that comes first is served next. */
  readonly #waiting = new Map<string, Set<Item>>();
  readonly #addresses = new Map<Item, string>();

  /** `begin` is called once for each that may, from within `enter` or `leave`. */
  constructor(limits: HandshakeLimits, begin: (item: Item) => void) {
    this.#limits = limits;
    this.#begin = begin;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  get waiting(): number {
    return this.#addresses.size;
  }

  /** False when it is turned away: too many wait already. */
  enter(item: Item, address: string): boolean {
    if (this.#hasRoom(address)) {
      this.#start(item, address);
      return true;
    }
    const queue = this.#waiting.get(address) ?? new Set();
    const { waiting, waitingPerAddress } = this.#limits;
    if (this.#addresses.size >= waiting || queue.size >= waitingPerAddress) return false;
    this.#waiting.set(address, queue.add(item));
    this.#addresses.set(item, address);
    return true;
  }

  /** It is verified, refused or gone; the next one begins. Idempotent. */
  leave(item: Item): void {
    this.#forget(item);
    const address = this.#inFlight.get(item);
    if (address === undefined) return;
    this.#inFlight.delete(item);
    const left = (this.#inFlightOf.get(address) ?? 1) - 1;
    if (left === 0) this.#inFlightOf.delete(address);
    else this.#inFlightOf.set(address, left);
    this.#startNext();
  }

  #startNext(): void {
    for (const [address, queue] of this.#waiting) {
      const [item] = queue;
      if (item === undefined || !this.#hasRoom(address)) continue;
      this.#forget(item);
      // To the end of the line, with whoever else waits there.
      if (this.#waiting.delete(address) && queue.size > 0) this.#waiting.set(address, queue);
      this.#start(item, address);
      return;
    }
  }

  #forget(item: Item): void {
    const address = this.#addresses.get(item);
    if (address === undefined) return;
    this.#addresses.delete(item);
    const queue = this.#waiting.get(address);
    queue?.delete(item);
    if (queue?.size === 0) this.#waiting.delete(address);
  }

  #hasRoom(address: string): boolean {
    const { handshakes, handshakesPerAddress } = this.#limits;
    const ofAddress = this.#inFlightOf.get(address) ?? 0;
    return this.#inFlight.size < handshakes && ofAddress < handshakesPerAddress;
  }

  #start(item: Item, address: string): void {
    this.#inFlight.set(item, address);
    this.#inFlightOf.set(address, (this.#inFlightOf.get(address) ?? 0) + 1);
    this.#begin(item);
  }
}
