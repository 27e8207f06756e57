/** The few values of a kind that were used last, such as sessions by the size of a picture; those dropped are released. */
export class RecentlyUsed<Value> {
  readonly #most: number;
  readonly #release: (value: Value) => Promise<void>;
  readonly #values = new Map<string, Promise<Value>>(); // the one used last at the end

  /** @param most  values that are kept */
  constructor(most: number, release: (value: Value) => Promise<void>) {
    this.#most = most;
    this.#release = release;
  }

  /** The value of a key, made if it is not there. */
  async get(key: string, make: () => Promise<Value>): Promise<Value> {
    const value = this.#values.get(key) ?? make();
    this.#values.delete(key);
    this.#values.set(key, value);
    if (this.#values.size > this.#most) {
      const [oldest, dropped] = [...this.#values][0] as [string, Promise<Value>];
      this.#values.delete(oldest);
      await this.#release(await dropped);
    }
    return value;
  }

  async dispose(): Promise<void> {
    const values = await Promise.allSettled(this.#values.values());
    this.#values.clear();
    for (const value of values) if (value.status === "fulfilled") await this.#release(value.value);
  }
}
