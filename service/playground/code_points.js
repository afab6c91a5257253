/** Offsets: the API counts Unicode code points, strings of a browser count UTF-16 units. */

const LAST_OF_ONE_UNIT = 0xffff;

/**
 * Where a code point begins, in units.
 *
 * @param {string} text
 * @param {number} points code points before it
 * @returns {number} at most the length of the text
 */
export function unitsAt(text, points) {
  let unit = 0;
  for (let point = 0; point < points && unit < text.length; point += 1) {
    unit += /** @type {number} */ (text.codePointAt(unit)) > LAST_OF_ONE_UNIT ? 2 : 1;
  }
  return unit;
}

/**
 * The nearest place, not after this one, at which no character is cut in two.
 *
 * @param {string} text
 * @param {number} unit
 * @returns {number}
 */
export function wholeAt(text, unit) {
  const isInside = /[\udc00-\udfff]/.test(text.charAt(unit)) && /[\ud800-\udbff]/.test(text.charAt(unit - 1));
  return isInside ? unit - 1 : unit;
}
