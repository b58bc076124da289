// openai-node and the Vercel AI SDK's openai-compatible provider against a running server: node client.mjs URL MODEL PNG
// Prints one JSON object; test_clients.py looks at it.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateImage, generateText, streamText } from "ai";
import OpenAI from "openai";

const [url, model, png] = process.argv.slice(2);
const user = (content) => [{ role: "user", content }];
const out = {};

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const reply = await client.chat.completions.create({ model, messages: user("hello") });
out.chat = reply.choices[0].message.content;
out.request_id = Boolean(reply._request_id);
const stream = client.chat.completions.stream({ model, messages: user("one two"), stream_options: { include_usage: true } });
out.stream = await stream.finalContent();
out.usage = (await stream.totalUsage()).total_tokens > 0;
const seen = await client.chat.completions.create({ model, messages: user([{ type: "text", text: "look" }, { type: "image_url", image_url: { url: png } }]) });
out.seen = seen.usage.prompt_tokens_details.image_tokens;
const drawn = await client.chat.completions.create({ model, messages: user("/draw after"), modalities: ["text", "image"] });
const message = drawn.choices[0].message;
out.drawn = [message.content, message.images.length];
const again = await client.chat.completions.create({ model, messages: [...user("/draw after"), message, ...user("thanks")] });
out.again = [again.choices[0].message.content, again.usage.prompt_tokens > 680];
out.image = (await client.images.generate({ prompt: "a cat", n: 2 })).data.map((d) => d.b64_json.length > 100);
out.completion = (await client.completions.create({ model, prompt: "abc", max_tokens: 9 })).choices[0].text;
out.models = (await client.models.list()).data.map((m) => m.id);
out.error = await client.chat.completions.create({ model: "other", messages: user("x") }).catch((e) => [e.constructor.name, e.status, e.code]);
out.failed = await (async () => {
  for await (const _ of await client.chat.completions.create({ model, messages: user("/fail abc"), stream: true }));
})().catch((e) => e.constructor.name);

const provider = createOpenAICompatible({ name: "vargpt", baseURL: `${url}/v1`, apiKey: "none", includeUsage: true });
const text = await generateText({ model: provider(model), prompt: "hello", maxOutputTokens: 50 });
out.ai_text = [text.text, text.finishReason, text.usage.totalTokens > 0];
const streamed = streamText({ model: provider(model), prompt: "one two" });
out.ai_stream = "";
for await (const piece of streamed.textStream) out.ai_stream += piece;
out.ai_seen = (await generateText({ model: provider(model), messages: user([{ type: "text", text: "look" }, { type: "image", image: png }]) })).text;
const pictures = await generateImage({ model: provider.imageModel(model), prompt: "a cat", n: 2, maxRetries: 0 });
out.ai_image = pictures.images.map((i) => i.mediaType);
out.ai_error = await generateText({ model: provider("other"), prompt: "x", maxRetries: 0 }).catch((e) => [e.name, e.statusCode, e.message.includes("other")]);
out.ai_completion = (await generateText({ model: provider.completionModel(model), prompt: "abc" })).text;
console.log(JSON.stringify(out));
