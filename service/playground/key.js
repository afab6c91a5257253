/** KeyForm: the key that the page shows to the server. */

import { showProblem } from "./outcome.js";

const SENDABLE = /^[\x20-\x7e]+$/; // what a header may hold

export class KeyForm {
  #server;
  #places;
  #onChanged;

  /**
   * @param {import("./server.js").Server} server
   * @param {Record<"panel" | "state" | "form" | "input" | "forget" | "problem" | "next", any>} places next: where to go on with a key
   * @param {() => void} onChanged another key is used, or none
   */
  constructor(server, places, onChanged) {
    this.#server = server;
    this.#places = places;
    this.#onChanged = onChanged;
    places.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#use(places.input.value.trim());
    });
    places.forget.addEventListener("click", () => this.#change(""));
    places.panel.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") {
        places.panel.open = false;
        places.panel.querySelector("summary").focus();
      }
    });
  }

  /**
   * Ask for one: the server wants it.
   *
   * @param {import("./problem.js").Problem} problem
   */
  demand(problem) {
    showProblem(this.#places.problem, problem);
    this.#tell("Key not taken");
    this.#places.panel.open = true;
    this.#places.input.focus();
  }

  /** The server takes what it is shown. */
  accept() {
    this.#places.problem.hidden = true;
    this.#tell("Key in use");
  }

  /** @param {string} key */
  #use(key) {
    // Before the browser refuses to put it into a header, in words of its own.
    const isSendable = SENDABLE.test(key);
    this.#places.input.setCustomValidity(isSendable ? "" : "A key has plain letters, digits and signs.");
    this.#places.input.reportValidity();
    if (isSendable) {
      this.#places.panel.open = false;
      this.#change(key);
      this.#places.next.focus(); // what had the focus is out of sight
    }
    this.#places.input.addEventListener("input", () => this.#places.input.setCustomValidity(""), { once: true });
  }

  /** @param {string} key */
  #change(key) {
    this.#server.useKey(key);
    this.#places.input.value = "";
    this.#places.problem.hidden = true;
    this.#tell("Key not tried yet");
    this.#onChanged();
  }

  /** @param {string} said of the key, where there is one */
  #tell(said) {
    this.#places.state.textContent = this.#server.hasKey ? said : "No key";
  }
}
