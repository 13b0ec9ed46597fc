// What the page knows of the matrix: all keys from the start, rows as they come into sight.
import { parameters } from "./dom.js";
import { get, post } from "./request.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUE = new Map([...ALPHABET].map((character, value) => [character, value]));
const NAMES = ["key", "slug", "name", "type", "host", "port", "user", "ssl", "registered", "cells"];
const COLUMN = ["kind", "name", "task", "version", "gone", "quarantined"];
const STATES = ["none", "success", "partial", "failed", "skipped", "running"];
const FETCHES = 3; // at a time
const LONGEST = 1500; // characters of the keys in an address, which are three times as many when they are encoded

const named = (names, values) => Object.fromEntries(names.map((name, place) => [name, values[place]]));

/** A cell, from its character. */
export const cellOf = (bits) => ({
  active: Boolean(bits & 1),
  configured: Boolean(bits & 2),
  old: Boolean(bits & 4),
  state: STATES[bits >> 3],
});

export class Store extends EventTarget {
  constructor(data) {
    super();
    Object.assign(this, { keys: data.keys, digest: data.digest, block: data.block, filtered: data.filtered });
    this.columns = data.columns.map((one) => named(COLUMN, one));
    this.rows = new Map(); // place -> row
    this.fetching = new Map(); // block -> AbortController
    this.saving = new Map(); // place and column -> promise: changes of a cell go one after the other
    data.rows.forEach((row, place) => this.put(place, row));
  }

  put(place, values) {
    const row = named(NAMES, values);
    row.bits = Uint8Array.from([...row.cells].map((character) => VALUE.get(character)));
    this.rows.set(place, row);
  }

  /** Fetch the blocks of these places that are not there; stop fetching others. */
  want(first, last) {
    const wanted = new Set();
    for (let place = first; place <= last; place += 1) {
      if (!this.rows.has(place)) wanted.add(Math.floor(place / this.block));
    }
    for (const [block, controller] of this.fetching) if (!wanted.has(block)) controller.abort();
    for (const block of wanted) if (!this.fetching.has(block) && this.fetching.size < FETCHES) this.fetchBlock(block);
  }

  async fetchBlock(block) {
    const controller = new AbortController();
    this.fetching.set(block, controller);
    const first = block * this.block;
    const keys = this.keys.slice(first, first + this.block);
    const parts = Math.ceil(JSON.stringify(keys).length / LONGEST); // slugs of endpoints that are gone are long
    const size = Math.ceil(keys.length / parts);
    try {
      for (let from = 0; from < keys.length; from += size) {
        await this.read(first + from, keys.slice(from, from + size), controller.signal);
      }
    } catch (error) {
      if (error.name !== "AbortError") this.dispatchEvent(new CustomEvent("fault", { detail: error }));
    } finally {
      if (this.fetching.get(block) === controller) this.fetching.delete(block);
    }
  }

  async read(first, keys, signal) {
    const query = parameters();
    query.set("keys", JSON.stringify(keys));
    const { root } = document.documentElement.dataset;
    const answer = await get(`${root}/matrix/rows?${query}`, signal);
    const places = new Map(keys.map((key, place) => [key, first + place]));
    const tasks = this.columns.map((one) => one.task).join();
    if (answer.columns.join() !== tasks) this.dispatchEvent(new Event("columns")); // the packs have changed
    for (const row of answer.rows) this.put(places.get(row[0]), row);
    this.dispatchEvent(new Event("change"));
  }

  /** Read again what is loaded around these places; forget the rest. */
  async refresh(first, last) {
    const from = Math.max(0, first - this.block / 2);
    const to = Math.min(this.keys.length, last + this.block / 2);
    await this.read(from, this.keys.slice(from, to));
    for (const place of this.rows.keys()) if (place < from || place >= to) this.rows.delete(place);
  }

  cell(place, column) {
    const row = this.rows.get(place);
    return row ? cellOf(row.bits[column]) : null;
  }

  mark(place, column, active) {
    const { bits } = this.rows.get(place) ?? {};
    if (!bits) return; // it will be read when it comes into sight
    bits[column] = active ? bits[column] | 1 : bits[column] & ~1;
    this.dispatchEvent(new CustomEvent("cell", { detail: { place, column } }));
  }

  /** Change a cell: shown at once, taken back if the server refuses. Throws what it says. */
  async toggle(place, column) {
    const key = `${place} ${column}`;
    const before = this.saving.get(key);
    const saved = (before ? before.catch(() => {}) : Promise.resolve()).then(() => this.toggleNow(place, column));
    this.saving.set(key, saved);
    try {
      return await saved;
    } finally {
      if (this.saving.get(key) === saved) this.saving.delete(key);
    }
  }

  async toggleNow(place, column) {
    const row = this.rows.get(place);
    const { kind, name } = this.columns[column];
    const active = !(row.bits[column] & 1);
    const wish = { kind, pack: name, endpoint: row.slug, active, seen: !active };
    this.mark(place, column, active);
    try {
      await this.post("/matrix/cell", wish);
    } catch (error) {
      this.mark(place, column, !active);
      if (error.status === 0 || error.status === 409 || error.status >= 500) {
        await this.read(place, [row.key]).catch(() => {}); // it may be done after all; the error says what happened
      }
      throw error;
    }
    return active;
  }

  /** Send an act about what the address shows. */
  post(path, body) {
    const { root } = document.documentElement.dataset;
    return post(`${root}${path}?${parameters()}`, body);
  }
}
