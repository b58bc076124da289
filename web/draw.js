// The draw form and the wall its pictures hang on.
import { eventsOf, postPatiently, ServerError } from "./api.js";
import { announce, byId, make, say } from "./dom.js";
import { createPicture } from "./pictures.js";

const PREVIEWS = 9;
const MOST_SERIES = 12; // older ones leave the wall: pictures are held in memory

/** {prompt, n, guidance, seed}; seed undefined: the server chooses. Throws an Error in words. */
function readOrder() {
  const prompt = byId("prompt").value.trim();
  const seed = byId("seed").value.trim();
  if (!prompt) throw new Error("Say what to draw.");
  if (seed && !/^-?\d{1,15}$/.test(seed)) throw new Error("A seed is a whole number of up to 15 digits.");
  return {
    prompt,
    n: Number(document.querySelector("input[name=count]:checked").value),
    guidance: Number(byId("guidance").value),
    seed: seed === "" ? undefined : Number(seed),
  };
}

const showGuidance = () => {
  byId("guidance-value").value = Number(byId("guidance").value).toFixed(1);
};

function writeOrder(order) {
  byId("prompt").value = order.prompt;
  byId("guidance").value = order.guidance;
  byId("seed").value = order.seed ?? "";
  for (const radio of document.querySelectorAll("input[name=count]")) radio.checked = Number(radio.value) === order.n;
  showGuidance();
  byId("prompt").focus();
}

/** The pictures of one order, newest series first on the wall. */
function hangSeries(order) {
  const pictures = Array.from({ length: order.n }, () => createPicture(order.prompt));
  const label = make("p", { class: "meta" }, `guidance ${order.guidance.toFixed(1)}`);
  const waiting = make("p", { class: "aside", hidden: true });
  const failure = make("p", { class: "failure", role: "alert", hidden: true });
  const again = make("button", { type: "button", onclick: () => writeOrder(order) }, "Use these settings");
  const node = make("section", { class: "series", "aria-label": order.prompt },
    make("div", { class: "placard" }, make("h2", { dir: "auto" }, order.prompt), label, again),
    waiting, failure,
    make("div", { class: `grid of-${order.n}` }, ...pictures.map((picture) => picture.node)));
  const wall = byId("wall");
  byId("bare").hidden = true;
  wall.prepend(node);
  for (const old of [...wall.querySelectorAll(".series")].slice(MOST_SERIES)) old.remove();
  return {
    pictures, waiting, failure,
    knowSeed(seed) {
      order.seed = seed;
      label.textContent = `seed ${seed} · guidance ${order.guidance.toFixed(1)}`;
    },
  };
}

/** app: {model(), askKey(), onRun()}. */
export function createDraw(app) {
  let controller = null;

  async function receive(order, series, signal) {
    const body = { model: app.model().id, prompt: order.prompt, n: order.n, guidance_scale: order.guidance, seed: order.seed, stream: true, partial_images: PREVIEWS };
    const hooks = { askKey: app.askKey, onWait: (text) => say(series.waiting, text) };
    const response = await postPatiently("v1/images/generations", body, signal, hooks);
    let finished = 0;
    for await (const event of eventsOf(response, false)) {
      const k = event.index ?? 0;
      if (event.seed !== undefined) series.knowSeed(event.seed);
      const url = `data:image/${event.output_format};base64,${event.b64_json}`;
      if (event.type === "image_generation.partial_image") {
        series.pictures[k].preview(url, event.scale ?? event.partial_image_index, event.scales);
      } else if (event.type === "image_generation.completed") {
        series.pictures[k].finish(url, event.size.replace("x", " × "));
        finished++;
        announce(`${finished} of ${order.n} pictures finished`);
      }
    }
    if (finished < order.n) throw new ServerError("network", "The connection ended before all pictures were drawn.");
  }

  function showRunning() {
    const hadFocus = [byId("draw-start"), byId("draw-stop")].includes(document.activeElement);
    byId("draw-start").hidden = controller !== null;
    byId("draw-stop").hidden = controller === null;
    byId("draw-start").disabled = !app.model();
    if (hadFocus) byId(controller ? "draw-stop" : "draw-start").focus();
  }

  /** The model is known, or another one is there. */
  function showModel() {
    byId("guidance").value = app.model().guidance ?? 1.5;
    showGuidance();
    showRunning();
  }

  async function run() {
    let order;
    try {
      order = readOrder();
    } catch (error) {
      say(byId("draw-complaint"), error.message);
      return;
    }
    say(byId("draw-complaint"), "");
    const series = hangSeries(order);
    const mine = (controller = new AbortController());
    showRunning();
    try {
      await receive(order, series, mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) say(series.failure, error.message);
    }
    for (const picture of series.pictures) picture.giveUp(mine.signal.aborted ? "stopped" : "not finished");
    say(series.waiting, "");
    controller = null;
    showRunning();
    app.onRun();
  }

  function start() {
    if (!controller && app.model()) run();
  }

  function stop() {
    controller?.abort();
    return controller !== null;
  }

  byId("order").noValidate = true; // we say it ourselves
  byId("order").addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    start();
  });
  byId("guidance").addEventListener("input", showGuidance);
  byId("draw-stop").addEventListener("click", stop);
  return { stop, showModel, focus: () => byId("prompt").focus() };
}
