/** CollectionChoice: the collections that may be asked, and the one that is. */

import { element } from "./element.js";
import { counted } from "./figures.js";

export class CollectionChoice {
  #server;
  #select;
  #names;

  /**
   * @param {import("./server.js").Server} server
   * @param {HTMLSelectElement} select
   * @param {HTMLDataListElement} names for whoever types one
   */
  constructor(server, select, names) {
    this.#server = server;
    this.#select = select;
    this.#names = names;
  }

  /** The name of the chosen one; empty where there is none. */
  get name() {
    return this.#select.value;
  }

  /**
   * Ask the server again.
   *
   * @param {string} [wanted] is chosen if it is there, else what was
   * @returns {Promise<boolean>} whether there are any
   * @throws {import("./problem.js").Problem}
   */
  async refresh(wanted = this.name) {
    const [{ data, unavailable }, { data: aliases }] = await Promise.all([
      this.#server.json("v1/collections"),
      this.#server.json("v1/aliases"),
    ]);
    /** @type {{name: string, documents: number}[]} */
    const collections = data;
    const options = collections.map(({ name, documents }) =>
      element("option", { value: name }, `${name} (${counted(documents, "document")})`),
    );
    for (const { name, collection } of aliases) {
      if (!collections.some((one) => one.name === name)) {
        options.push(element("option", { value: name }, `${name} → ${collection}`));
      }
    }
    for (const name of Object.keys(unavailable)) {
      options.push(element("option", { value: name, disabled: true }, `${name} (cannot be read)`));
    }
    this.#offer(options.length > 0 ? options : [nothing("none yet")], collections.map(({ name }) => name));
    const usable = options.filter((option) => !option.disabled);
    this.#select.value = (usable.find((option) => option.value === wanted) ?? usable[0])?.value ?? "";
    this.#select.disabled = usable.length === 0;
    return usable.length > 0;
  }

  /** Nothing may be asked. */
  clear() {
    this.#offer([nothing("—")], []);
    this.#select.disabled = true;
  }

  /**
   * @param {HTMLOptionElement[]} options
   * @param {string[]} names
   */
  #offer(options, names) {
    this.#select.replaceChildren(...options);
    this.#names.replaceChildren(...names.map((name) => element("option", { value: name })));
  }
}

/** @param {string} said */
function nothing(said) {
  return element("option", { value: "" }, said);
}
