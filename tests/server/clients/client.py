"""litellm and langchain-openai against a running server: client.py URL MODEL PNG. Prints one JSON object."""
import asyncio
import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # noqa: E402
from langchain_core.messages import HumanMessage  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

url, model, png = sys.argv[1:]
out = {}
common = {"model": "openai/" + model, "api_base": url + "/v1", "api_key": "none", "num_retries": 0}


def user(content):
    return [{"role": "user", "content": content}]


def look():
    return user([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": png}}])


reply = litellm.completion(messages=user("hello"), **common)
out["chat"] = reply.choices[0].message.content
out["stream"] = "".join(c.choices[0].delta.content or "" for c in litellm.completion(messages=user("one two"), stream=True, **common))
out["async"] = asyncio.run(litellm.acompletion(messages=user("later"), **common)).choices[0].message.content
out["seen"] = litellm.completion(messages=look(), **common).usage.prompt_tokens_details.image_tokens
message = litellm.completion(messages=user("/draw after"), **common).choices[0].message
out["drawn"] = [message.content, len(message.images), message.images[0]["image_url"]["url"][:22]]
again = litellm.completion(messages=[*user("/draw after"), {"role": "assistant", "content": message.content, "images": message.images},
                                     *user("thanks")], **common)
out["again"] = [again.choices[0].message.content, again.usage.prompt_tokens > 680]
chunks = list(litellm.completion(messages=user("/draw after"), stream=True, **common))
out["streamed_images"] = sum(len(getattr(c.choices[0].delta, "images", None) or []) for c in chunks)
out["image"] = len(litellm.image_generation(prompt="a cat", n=2, **common).data)
out["text"] = litellm.text_completion(prompt="abc", model="text-completion-openai/" + model, api_base=url + "/v1", api_key="none").choices[0].text
try:
    litellm.completion(messages=user("x"), **{**common, "model": "openai/other"})
except litellm.exceptions.NotFoundError as e:
    out["error"] = [type(e).__name__, e.status_code]

chat = ChatOpenAI(model=model, base_url=url + "/v1", api_key="none", max_retries=0, stream_usage=True)
message = chat.invoke("hello")
out["lc_chat"] = [message.content, message.usage_metadata["total_tokens"] > 0, message.response_metadata["finish_reason"]]
out["lc_stream"] = "".join(c.content for c in chat.stream("one two"))
out["lc_seen"] = chat.invoke([HumanMessage(look()[0]["content"])]).content
out["lc_drawn"] = chat.invoke("/draw after").content
out["lc_logprobs"] = len(chat.bind(logprobs=True, top_logprobs=2).invoke("abc").response_metadata["logprobs"]["content"])
try:
    chat.invoke([{"role": "user", "content": "x"}], temperature=9)
except Exception as e:
    out["lc_error"] = type(e).__name__
print(json.dumps(out))
