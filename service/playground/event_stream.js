/** Server-sent events out of the body of a reply. */

/** @typedef {{name: string, data: any}} StreamEvent */

/**
 * The events as they come. Whoever stops early hangs up.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<StreamEvent>}
 */
export async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let begun = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return; // what has begun and not ended is no event
      }
      const frames = (begun + value).split("\n\n");
      begun = /** @type {string} */ (frames.pop());
      for (const frame of frames) {
        const event = eventOf(frame);
        if (event !== null) {
          yield event;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // of a stream that broke there is nothing left to cancel
  }
}

/**
 * @param {string} frame
 * @returns {StreamEvent | null} null for a comment
 */
function eventOf(frame) {
  let name = "message";
  const data = [];
  for (const line of frame.split("\n")) {
    if (line.startsWith("event: ")) {
      name = line.slice("event: ".length);
    } else if (line.startsWith("data: ")) {
      data.push(line.slice("data: ".length));
    }
  }
  return data.length === 0 ? null : { name, data: JSON.parse(data.join("\n")) };
}
