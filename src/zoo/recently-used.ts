interface Entry<Value> {
  readonly value: Promise<Value>;
  users: number;
  isDropped: boolean;
}

/**
 * The few values of a kind that were used last, such as sessions by the size of a picture. One that is dropped is
 * released once nobody uses it any more.
 */
export class RecentlyUsed<Value> {
  readonly #most: number;
  readonly #release: (value: Value) => Promise<void>;
  readonly #entries = new Map<string, Entry<Value>>(); // the one used last at the end

  /** @param most  values that are kept */
  constructor(most: number, release: (value: Value) => Promise<void>) {
    this.#most = most;
    this.#release = release;
  }

  /** Uses the value of a key, made if it is not there; one that could not be made is tried anew the next time. */
  async use<Result>(key: string, make: () => Promise<Value>, work: (value: Value) => Promise<Result>): Promise<Result> {
    const entry = this.#entries.get(key) ?? { value: make(), users: 0, isDropped: false };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.users++;
    try {
      for (const [oldest, dropped] of this.#entries) {
        if (this.#entries.size <= this.#most) break;
        await this.#drop(oldest, dropped);
      }
      return await work(await this.#made(key, entry));
    } finally {
      entry.users--;
      await this.#releaseIfUnused(entry);
    }
  }

  /** What is in use is released when its users are done. */
  async dispose(): Promise<void> {
    for (const [key, entry] of [...this.#entries]) await this.#drop(key, entry);
  }

  async #made(key: string, entry: Entry<Value>): Promise<Value> {
    try {
      return await entry.value;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  async #drop(key: string, entry: Entry<Value>): Promise<void> {
    this.#entries.delete(key);
    entry.isDropped = true;
    await this.#releaseIfUnused(entry);
  }

  async #releaseIfUnused(entry: Entry<Value>): Promise<void> {
    if (!entry.isDropped || entry.users > 0) return;
    const [made] = await Promise.allSettled([entry.value]);
    if (made.status === "fulfilled") await this.#release(made.value);
  }
}
