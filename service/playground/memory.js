/** MemoryBars: who holds the memory of each device, GPUs first. */

import { element } from "./element.js";
import { size } from "./figures.js";

const WORDS = new Map([
  ["embedder_weights", ["Embedding models", "model"]],
  ["reranker_weights", ["Reranker", "model"]],
  ["embedder_peak", ["Room for forwards", "model"]],
  ["index_vectors", ["Vectors", "index"]],
  ["index_codes", ["Index", "index"]],
  ["index_scratch", ["Room for searches", "index"]],
  ["index_words", ["Words", "index"]],
  ["query_cache", ["Cached queries", "cache"]],
  ["llm_kv_cache", ["Language model's KV cache", "llm"]],
  ["unattributed", ["Not attributed", "rest"]],
  ["other_processes", ["Other processes", "others"]],
  ["hidden_processes", ["Processes that are not listed", "others"]],
]);
const HOST = "cpu";
const LEVELS = new Map([
  ["low", "above the low mark: documents wait to be added"],
  ["high", "above the high mark: fewer questions may wait"],
]);

/** @typedef {{label: string, kind: string, bytes: number}} Part */
/** @typedef {{device: string, name: string, limit: number, used: number, parts: Part[], level: string}} Filling */

/**
 * @param {any} status the reply of /v1/status
 * @returns {Filling[]} of each device, the host last
 */
export function fillingsOf(status) {
  const cards = status.ledger.totals.filter((/** @type {any} */ total) => total.card);
  return [...cards.map((/** @type {any} */ total) => ofCard(status, total)), ...ofHost(status)];
}

/**
 * @param {any} status
 * @param {any} total
 * @returns {Filling}
 */
function ofCard(status, total) {
  const { device, card } = total;
  const gpu = status.gpus.gpus.find((/** @type {any} */ one) => one.device === device);
  const level = LEVELS.get(status.memory.devices[device]?.level) ?? "";
  const parts = partsOf(status, device);
  return { device, name: gpu?.name ?? device, limit: card.total, used: card.total - card.free, parts, level };
}

/**
 * @param {any} status
 * @returns {Filling[]} nothing where the system does not tell
 */
function ofHost(status) {
  const memory = status.memory.devices[HOST];
  const total = status.ledger.totals.find((/** @type {any} */ one) => one.device === HOST);
  if (!memory || !total) {
    return [];
  }
  const { used, limit } = memory;
  const others = { label: "Other processes", kind: "others", bytes: used - (total.process_bytes ?? 0) };
  const parts = [...partsOf(status, HOST), others].filter((part) => part.bytes > 0);
  return [{ device: HOST, name: "Host", limit, used, parts, level: LEVELS.get(memory.level) ?? "" }];
}

/**
 * @param {any} status
 * @param {string} device
 * @returns {Part[]} models and collections of one component added up; a residual below 0 is left out
 */
function partsOf(status, device) {
  /** @type {Map<string, Part>} */
  const parts = new Map();
  for (const entry of status.ledger.entries.filter((/** @type {any} */ one) => one.device === device)) {
    const [label, kind] = WORDS.get(entry.component) ?? [entry.component, "rest"];
    const part = parts.get(entry.component) ?? { label, kind, bytes: 0 };
    part.bytes += entry.bytes;
    parts.set(entry.component, part);
  }
  return [...parts.values()].filter((part) => part.bytes > 0);
}

export class MemoryBars {
  #devices;
  #note;

  /**
   * @param {HTMLElement} devices
   * @param {HTMLElement} note
   */
  constructor(devices, note) {
    this.#devices = devices;
    this.#note = note;
  }

  /** @param {any} status the reply of /v1/status */
  show(status) {
    this.#note.textContent = status.gpus.gpus.length === 0 ? `No GPU is used: ${status.gpus.absent ?? "none is there"}.` : "";
    this.#devices.replaceChildren(...fillingsOf(status).map(drawn));
  }

  /** @param {string} why nothing can be shown */
  hide(why) {
    this.#note.textContent = why;
    this.#devices.replaceChildren();
  }
}

/** @param {Filling} filling */
function drawn({ device, name, limit, used, parts, level }) {
  const said = `${size(used)} of ${size(limit)}`;
  const bar = element("div", { className: "memory-bar", role: "img", ariaLabel: `${name}: ${said} taken` });
  const legend = element("ul", { className: "legend" });
  for (const [index, { label, kind, bytes }] of parts.entries()) {
    const shade = parts.slice(0, index).filter((part) => part.kind === kind).length;
    const colour = { "data-kind": kind, "data-shade": shade };
    const segment = element("span", colour);
    segment.style.setProperty("--share", String(Math.min(1, bytes / limit)));
    bar.append(segment);
    legend.append(element("li", colour, `${label} `, element("span", {}, size(bytes))));
  }
  const head = element("p", {}, element("strong", {}, name), ` ${said}`);
  if (level) {
    head.append(element("span", { className: "over" }, `, ${level}`));
  }
  return element("div", { className: "device", "data-device": device }, head, bar, legend);
}
