/** QuestionForm: what is asked, and how. */

import { element } from "./element.js";

export class QuestionForm {
  #places;

  /**
   * @param {Record<"form" | "text" | "send" | "stop" | "topK" | "deadline" | "llm" | "options", any>} places
   * @param {() => void} onAsked
   * @param {() => void} onStopped
   */
  constructor(places, onAsked, onStopped) {
    this.#places = places;
    places.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (this.body.query !== "" && !places.send.disabled) {
        onAsked();
      }
    });
    places.text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      // While a word is being composed, Enter takes the word.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        places.form.requestSubmit();
      }
    });
    // Else the browser could not show what is wrong with them.
    places.form.addEventListener("invalid", () => (places.options.open = true), true);
    places.stop.addEventListener("click", onStopped);
  }

  /** As /v1/query takes it, but for the collection; what was left open is left out. */
  get body() {
    const { text, topK, deadline, llm } = this.#places;
    return {
      query: text.value.trim(),
      ...(topK.value && { top_k: topK.valueAsNumber }),
      ...(deadline.value && { deadline_ms: deadline.valueAsNumber }),
      ...(llm.value && { llm: llm.value }),
    };
  }

  /** @param {boolean} isPossible there is something to ask */
  allow(isPossible) {
    this.#places.send.disabled = !isPossible;
  }

  /** @param {boolean} isAsking an answer is on its way, and can be stopped */
  busy(isAsking) {
    const hadFocus = document.activeElement === this.#places.stop;
    this.#places.stop.hidden = !isAsking;
    if (hadFocus && !isAsking) {
      this.#places.text.focus();
    }
  }

  focus() {
    this.#places.text.focus();
  }

  /** @param {string[]} names of the generators, as far as the server tells */
  offer(names) {
    const { llm } = this.#places;
    const [chosen, first] = [llm.value, llm.options[0]];
    llm.replaceChildren(first, ...names.map((name) => element("option", { value: name }, name)));
    llm.value = names.includes(chosen) ? chosen : "";
  }
}
