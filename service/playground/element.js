/** Elements made by hand. */

/**
 * An element with properties, attributes and children.
 *
 * Strings become text, whatever they hold: nothing that a server says is ever read as markup.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] of the element, or its attributes where it has no such property
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) {
      made[name] = value;
    } else {
      made.setAttribute(name, String(value));
    }
  }
  made.append(...children);
  return made;
}

/**
 * The one element of the page that has this id.
 *
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) {
    throw new Error(`the page has no element #${id}`);
  }
  return found;
}
