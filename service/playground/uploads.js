/** Uploads: the files that were chosen, a few at a time, each with its progress and its end. */

import { element } from "./element.js";
import { counted } from "./figures.js";
import { showProblem } from "./outcome.js";
import { Problem } from "./problem.js";
import { stored } from "./upload.js";

// A browser opens six connections to a server, and a question is to have one.
const AT_ONCE = 2;

/** One line of the list. */
class Line {
  /** @param {string} name of the file */
  constructor(name) {
    this.said = element("span", { className: "said" }, "Waiting");
    this.bar = element("progress", { max: 1, value: 0, ariaLabel: `Progress of ${name}` });
    this.errors = element("div", { className: "problem", hidden: true });
    this.root = element("li", {}, element("bdi", {}, name), this.said, this.bar, this.errors);
  }

  /** @param {import("./upload.js").Progress} progress */
  show({ said, share }) {
    this.said.textContent = said;
    if (share === null) {
      this.bar.removeAttribute("value");
    } else {
      this.bar.value = share;
    }
  }

  /** @param {import("./upload.js").Ended} ended */
  end({ said, isStored, errors }) {
    this.said.textContent = said;
    this.bar.remove();
    this.root.dataset.state = isStored && errors.length === 0 ? "ok" : "failed";
    this.errors.replaceChildren(...errors.map((text) => element("span", { dir: "auto" }, text)));
    this.errors.hidden = errors.length === 0;
  }

  /** @param {Problem} problem */
  fail(problem) {
    this.end({ said: "not stored", isStored: false, errors: [] });
    showProblem(this.errors, problem);
  }
}

export class Uploads {
  #server;
  #places;
  #onStored;
  #onProblem;

  /**
   * @param {import("./server.js").Server} server
   * @param {Record<"form" | "collection" | "files" | "list" | "told", any>} places
   * @param {(collection: string) => void} onStored all files have ended, and something new can be asked about
   * @param {(problem: Problem) => void} onProblem
   */
  constructor(server, places, onStored, onProblem) {
    this.#server = server;
    this.#places = places;
    this.#onStored = onStored;
    this.#onProblem = onProblem;
    places.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      const [collection, files] = [places.collection.value.trim(), [...places.files.files]];
      places.files.value = "";
      this.#add(collection, files);
    });
  }

  /** Where to begin. */
  focus() {
    this.#places.files.focus();
  }

  /** @param {string} name of the collection, unless somebody has typed another, which has had no files yet */
  suggest(name) {
    const { collection } = this.#places;
    if (collection.value === collection.defaultValue || collection.value === name) {
      collection.value = collection.defaultValue = name;
    }
  }

  /**
   * @param {string} collection
   * @param {File[]} files
   */
  async #add(collection, files) {
    const waiting = files.map((file) => ({ file, line: new Line(file.name) }));
    this.#places.list.prepend(...waiting.map(({ line }) => line.root));
    let count = 0;
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const isStored = await this.#one(collection, next.file, next.line);
        count += Number(isStored); // after the wait: the other worker counts, too
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    this.#places.told.textContent = `${counted(count, "file")} of ${files.length} stored in ${collection}`;
    if (count > 0) {
      this.#onStored(collection);
    }
  }

  /**
   * @param {string} collection
   * @param {File} file
   * @param {Line} line
   * @returns {Promise<boolean>} whether something of it is stored
   */
  async #one(collection, file, line) {
    try {
      const ended = await stored(this.#server, collection, file, (progress) => line.show(progress));
      line.end(ended);
      return ended.isStored;
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      line.fail(problem);
      this.#onProblem(problem);
      return false;
    }
  }
}
