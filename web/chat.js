// The conversation: what was said, how it goes to the server, and how it looks while it comes back.
import { eventsOf, postPatiently } from "./api.js";
import { announce, byId, copyButton, growWithText, make, say } from "./dom.js";
import { renderMarkdown } from "./markdown.js";
import { createPicture, pictureFiles, readPicture, thumbnail } from "./pictures.js";

const RENDER_MS = 40; // text is shown that often, however fast it comes
const PREVIEWS = 9;
const NEAR_END = 80; // pixels

const isSettled = (part) => part.kind === "text" || part.image !== null;
const hasContent = (reply) => reply.parts.some(isSettled);
const textOf = (reply) => reply.parts.filter((part) => part.kind === "text").map((part) => part.text).join("");

/** A reply as the server gave it: its text in one string, its pictures beside it, and the order of both. */
function replyMessage(reply) {
  const message = { role: "assistant", content: textOf(reply) };
  const images = [];
  const order = [];
  let at = 0;
  for (const part of reply.parts.filter(isSettled)) {
    if (part.kind === "text") {
      const end = at + [...part.text].length;
      order.push({ type: "text", start: at, end });
      at = end;
    } else {
      order.push({ type: "image_url", image: images.length });
      images.push(part.image);
    }
  }
  return images.length ? { ...message, images, content_parts: order } : message;
}

const questionParts = ({ text, pictures }) => [
  ...pictures.map(({ url }) => ({ type: "image_url", image_url: { url } })),
  ...(text ? [{ type: "text", text }] : []),
];

/** The messages of a conversation. A question that got no answer and the next one are one message: templates want turns. */
export function messagesOf(turns, system) {
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const turn of turns) {
    const before = messages.at(-1);
    const parts = questionParts(turn.question);
    if (before?.role === "user") before.content.push(...parts);
    else messages.push({ role: "user", content: parts });
    if (hasContent(turn.reply)) messages.push(replyMessage(turn.reply));
  }
  const isPlain = (content) => Array.isArray(content) && content.length === 1 && content[0].type === "text";
  return messages.map((m) => (isPlain(m.content) ? { ...m, content: m.content[0].text } : m));
}

/** A turn on the page. */
function createTurnView(question, onRetry) {
  const reply = make("div", { class: "reply" });
  const waiting = make("p", { class: "aside", hidden: true });
  const failure = make("p", { class: "failure", role: "alert", hidden: true });
  const meta = make("span", { class: "meta" });
  const actions = make("div", { class: "actions", hidden: true });
  const node = make("article", { class: "turn" },
    make("h2", { class: "unseen" }, "You"),
    make("div", { class: question.text.length > 280 ? "question long" : "question" },
      question.pictures.length > 0 && make("div", { class: "thumbs" }, ...question.pictures.map(thumbnail)),
      question.text && make("p", { dir: "auto" }, question.text)),
    make("h2", { class: "unseen" }, "Reply"),
    reply, waiting, failure, actions);
  return { node, reply, waiting, failure, meta, actions, onRetry };
}

/** app: {model(), askKey(), onRun()}. */
export function createChat(app) {
  const message = byId("message");
  const scroll = byId("scroll");
  let turns = [];
  let attached = []; // {name, url}
  let running = null; // {controller, turn}

  // ---- following the end of the text

  const isAtEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR_END;
  let follows = true;
  let top = 0; // where the last scroll event found it
  const toEnd = () => {
    follows = true;
    scroll.scrollTop = scroll.scrollHeight;
  };
  // The event comes late: text may have grown since toEnd, so only a move upwards means that someone reads above.
  scroll.addEventListener("scroll", () => {
    follows = isAtEnd() || (follows && scroll.scrollTop >= top);
    top = scroll.scrollTop;
    byId("down").hidden = follows;
  });
  byId("down").addEventListener("click", toEnd);
  const resized = new ResizeObserver(() => follows && toEnd());
  resized.observe(byId("turns"));
  resized.observe(scroll); // the composer grows at its cost

  // ---- pictures to send

  function showAttached() {
    byId("attached").replaceChildren(
      ...attached.map((picture) =>
        make("li", {}, make("img", { src: picture.url, alt: picture.name }),
          make("button", { type: "button", "aria-label": `Remove ${picture.name}`, title: "Remove", onclick: () => remove(picture) }, "×"))),
    );
    byId("attached").hidden = attached.length === 0;
    showSendable();
  }

  function remove(picture) {
    attached = attached.filter((other) => other !== picture);
    showAttached();
    announce(`Removed ${picture.name}`);
    message.focus();
  }

  async function attach(files) {
    say(byId("complaint"), app.model()?.sees === false && files.length ? "This model reads text only." : "");
    if (!app.model()?.sees) return;
    for (const file of files) {
      try {
        attached.push(await readPicture(file));
      } catch (error) {
        say(byId("complaint"), error.message);
      }
    }
    showAttached();
    if (attached.length) announce(`${attached.length === 1 ? "1 picture" : `${attached.length} pictures`} to send`);
    message.focus();
  }

  // ---- a reply as it comes

  /** Shows parts of a reply; text at most every RENDER_MS. */
  function createReplyView(turn) {
    let timer = null;
    const dirty = new Set();
    const flush = () => {
      clearTimeout(timer);
      timer = null;
      for (const part of dirty) renderMarkdown(part.node, part.text);
      dirty.clear();
    };
    const add = (part, node) => {
      turn.reply.parts.push(part);
      turn.view.reply.append(node);
      return part;
    };
    return {
      flush,
      text(piece) {
        let part = turn.reply.parts.at(-1);
        if (part?.kind !== "text") {
          const node = make("div", { class: "text" });
          part = add({ kind: "text", text: "", node }, node);
        }
        part.text += piece;
        dirty.add(part);
        timer ??= setTimeout(flush, RENDER_MS);
      },
      picture(image) {
        let part = turn.reply.parts.find((other) => other.kind === "picture" && other.index === image.index);
        if (!part) {
          const canvas = createPicture(turn.question.text || "picture");
          part = add({ kind: "picture", index: image.index, image: null, canvas }, canvas.node);
        }
        if (image.partial) {
          part.canvas.preview(image.image_url.url, image.scale, image.scales);
          return;
        }
        part.image = image;
        part.canvas.finish(image.image_url.url, `seed ${image.seed}`);
        announce("A picture is finished");
      },
      end() {
        flush();
        for (const part of turn.reply.parts) if (part.kind === "picture") part.canvas.giveUp("not finished");
      },
    };
  }

  function requestFor(turn) {
    const number = (id) => (byId(id).value.trim() === "" ? undefined : Number(byId(id).value));
    const upTo = turns.slice(0, turns.indexOf(turn) + 1);
    const draws = app.model().draws;
    return {
      model: app.model().id,
      messages: messagesOf(upTo, byId("system").value.trim()),
      stream: true,
      stream_options: { include_usage: true },
      temperature: number("temperature"),
      max_completion_tokens: number("longest"),
      modalities: draws ? byId("modalities").value.split(",") : undefined,
      image_config: draws ? { partial_images: PREVIEWS } : undefined,
    };
  }

  async function receive(turn, signal, view) {
    const hooks = { askKey: app.askKey, onWait: (text) => say(turn.view.waiting, text) };
    const response = await postPatiently("v1/chat/completions", requestFor(turn), signal, hooks);
    for await (const chunk of eventsOf(response, true)) {
      if (chunk.usage) turn.reply.usage = chunk.usage;
      const choice = chunk.choices?.[0];
      if (!choice) continue;
      if (choice.delta.content) {
        turn.reply.firstText ??= performance.now();
        view.text(choice.delta.content);
      }
      for (const image of choice.delta.images ?? []) view.picture(image);
      if (choice.finish_reason) turn.reply.finish = choice.finish_reason;
    }
    turn.reply.ended = performance.now();
  }

  const count = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

  function describe({ usage, finish, stopped, firstText, ended }) {
    const words = [];
    const texts = usage?.completion_tokens_details?.text_tokens;
    if (texts) words.push(count(texts, "token"));
    if (texts > 8 && ended > firstText) words.push(`${(((texts - 1) * 1000) / (ended - firstText)).toLocaleString("en", { maximumSignificantDigits: 2 })} a second`);
    if (finish === "length") words.push("cut off at the limit");
    if (stopped) words.push("stopped");
    return words.join(" · ");
  }

  function showActions(turn) {
    const { actions, meta, onRetry } = turn.view;
    for (const other of turns) if (other !== turn) other.view.actions.querySelector(".retry")?.remove();
    meta.textContent = describe(turn.reply);
    actions.replaceChildren(
      ...(textOf(turn.reply) ? [copyButton(() => textOf(turn.reply))] : []),
      make("button", { type: "button", class: "retry", onclick: onRetry }, "Retry"),
      meta,
    );
    actions.hidden = false;
  }

  function tellEnd(turn) {
    const { stopped, error } = turn.reply;
    const text = textOf(turn.reply);
    if (error) say(turn.view.failure, error.message);
    else announce(stopped ? "Stopped" : `Reply: ${text.slice(0, 300)}`);
  }

  async function run(turn) {
    const controller = new AbortController();
    const view = createReplyView(turn);
    running = { controller, turn };
    turn.reply = { parts: [] };
    turn.view.reply.replaceChildren();
    turn.view.reply.setAttribute("aria-busy", "true");
    turn.view.actions.hidden = true;
    say(turn.view.failure, "");
    showRunning();
    announce("Waiting for the reply");
    try {
      await receive(turn, controller.signal, view);
    } catch (error) {
      if (controller.signal.aborted) turn.reply.stopped = true;
      else turn.reply.error = error;
    }
    view.end();
    turn.view.reply.removeAttribute("aria-busy");
    say(turn.view.waiting, "");
    if (running?.turn !== turn) return; // a new conversation began
    running = null;
    showRunning();
    showActions(turn);
    tellEnd(turn);
    app.onRun();
  }

  function stop() {
    running?.controller.abort();
    return running !== null;
  }

  // ---- the composer

  const isEmpty = () => message.value.trim() === "" && attached.length === 0;

  function showSendable() {
    byId("send").disabled = isEmpty() || !app.model();
  }

  function showRunning() {
    const hadFocus = [byId("send"), byId("stop")].includes(document.activeElement);
    byId("send").hidden = running !== null;
    byId("stop").hidden = running === null;
    byId("new").hidden = turns.length === 0;
    byId("welcome").hidden = turns.length > 0 || !app.model();
    if (hadFocus) message.focus();
    showSendable();
  }

  function send() {
    if (running || isEmpty() || !app.model()) return;
    const turn = { question: { text: message.value.trim(), pictures: attached }, reply: { parts: [] } };
    turn.view = createTurnView(turn.question, () => !running && run(turn));
    turns.push(turn);
    byId("turns").append(turn.view.node);
    message.value = "";
    attached = [];
    say(byId("complaint"), "");
    growWithText(message);
    showAttached();
    toEnd();
    run(turn);
  }

  function startAnew() {
    stop();
    running = null;
    turns = [];
    byId("turns").replaceChildren();
    showRunning();
    announce("A new conversation");
    message.focus();
  }

  function suggest({ text, picks }) {
    message.value = text;
    growWithText(message);
    showSendable();
    message.focus();
    if (picks) byId("files").click();
  }

  message.addEventListener("input", () => {
    growWithText(message);
    showSendable();
  });
  message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  byId("stop").addEventListener("click", stop);
  byId("new").addEventListener("click", startAnew);
  byId("add").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", (event) => {
    attach([...event.target.files]);
    event.target.value = "";
  });
  message.addEventListener("paste", (event) => {
    const files = pictureFiles(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    attach(files);
  });

  return {
    stop,
    attach,
    /** The model is known, or another one is there. */
    showModel() {
      const { sees, draws } = app.model();
      byId("add").hidden = !sees;
      byId("pick-reply").hidden = !draws;
      byId("greeting").textContent = greeting(sees, draws);
      byId("examples").replaceChildren(
        ...examples(sees, draws).map((example) =>
          make("li", {}, make("button", { type: "button", onclick: () => suggest(example) }, example.name ?? example.text))),
      );
      showRunning();
    },
    focus: () => message.focus(),
  };
}

function greeting(sees, draws) {
  if (sees && draws) return "Ask something, show a picture, or have one drawn.";
  if (draws) return "Ask something, or have a picture drawn.";
  return sees ? "Ask something, or show a picture." : "Ask something.";
}

function examples(sees, draws) {
  return [
    sees && { name: "Show a picture: what is in it?", text: "What is in this picture?", picks: true },
    draws && { text: "Can you draw a butterfly on a flower?" },
    draws && { text: "Please draw a pizza in a frame." },
    draws && { text: "What can you do?" },
    !draws && { text: "Why is the sky blue?" },
    !draws && { text: "Write a short poem about the sea." },
    !sees && { text: "Name three uses for a brick." },
  ].filter(Boolean);
}
