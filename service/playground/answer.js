/** AnswerView: the text of an answer as it comes, and its markers as buttons that lead to what they cite. */

import { unitsAt } from "./code_points.js";
import { element } from "./element.js";

/**
 * @typedef {object} Citation as the API has it; offsets are in code points
 * @property {number} marker
 * @property {string} document_id
 * @property {number} document_start
 * @property {number} document_end
 * @property {number} answer_start
 * @property {number} answer_end
 * @property {string} quote
 * @property {number | null} page
 * @property {string[]} heading_path
 */

export class AnswerView {
  #root;
  #onCited;

  /**
   * @param {HTMLElement} root whose text is the answer at every moment, markers included
   * @param {(citation: Citation, opener: HTMLElement) => void} onCited a marker was chosen
   */
  constructor(root, onCited) {
    this.#root = root;
    this.#onCited = onCited;
  }

  /** Nothing yet, and more to come. */
  begin() {
    this.#root.replaceChildren();
    this.flow(false);
    this.#root.ariaBusy = "true"; // read out when it is whole, and not word by word
  }

  /** @param {string} text the next piece */
  add(text) {
    const last = this.#root.lastChild;
    if (last instanceof Text) {
      last.appendData(text);
    } else {
      this.#root.append(text);
    }
  }

  /**
   * Make a button of a marker, whose text is there.
   *
   * @param {Citation} citation
   */
  cite(citation) {
    const whole = this.text;
    const [start, end] = [unitsAt(whole, citation.answer_start), unitsAt(whole, citation.answer_end)];
    const place = this.#textAt(start, end);
    if (place === null) {
      return; // it is on the list below all the same
    }
    const marker = place.node.splitText(place.offset);
    marker.splitText(end - start);
    const button = element("button", { type: "button", className: "marker" }, whole.slice(start, end));
    button.ariaLabel = `Citation ${citation.marker}: show it in the document`;
    button.addEventListener("click", () => this.#onCited(citation, button));
    marker.replaceWith(button);
  }

  /**
   * No more is coming.
   *
   * @param {string | null} text the whole answer, where the server told it
   * @param {Citation[]} citations
   */
  end(text = null, citations = []) {
    if (text !== null && text !== this.text) {
      this.#root.replaceChildren(text); // of what has no tokens, such as that there is no answer
      citations.forEach((citation) => this.cite(citation));
    }
    this.#root.ariaBusy = "false";
  }

  /** @param {boolean} isQuoted the text is sentences of documents, whose lines end anywhere */
  flow(isQuoted) {
    this.#root.classList.toggle("flowing", isQuoted);
  }

  get text() {
    return this.#root.textContent ?? "";
  }

  /**
   * @param {number} start
   * @param {number} end
   * @returns {{node: Text, offset: number} | null} null where it is not inside one piece of plain text
   */
  #textAt(start, end) {
    let before = 0;
    for (const node of this.#root.childNodes) {
      const length = (node.textContent ?? "").length;
      if (start < before + length) {
        const isPlain = node instanceof Text && start < end && end <= before + length;
        return isPlain ? { node, offset: start - before } : null;
      }
      before += length;
    }
    return null;
  }
}
