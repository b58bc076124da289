"""Asks a server with OpenAI's own client; the last line says what came of it. For docker/try-without-registry.

  ask.py URL           lists the models, chats, streams
  ask.py --long URL    streams a reply of some seconds; says "begun" at its first token
  ask.py --draw URL    has a picture drawn"""

import argparse
import base64

from openai import OpenAI


def stream(client, model, tokens, begun=lambda: None, **more):
    """How many pieces came, and why the reply ended."""
    pieces, reason = 0, None
    chunks = client.chat.completions.create(
        model=model, max_tokens=tokens, temperature=0, stream=True,
        messages=[{"role": "user", "content": "What can you do?"}], **more)
    for chunk in chunks:
        if chunk.choices and chunk.choices[0].delta.content:
            pieces += 1
            if pieces == 1:
                begun()
        if chunk.choices and chunk.choices[0].finish_reason:
            reason = chunk.choices[0].finish_reason
    assert pieces > 0 and reason, (pieces, reason)
    return pieces, reason


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("url")
    args = parser.parse_args()
    client = OpenAI(base_url=args.url, api_key="none", max_retries=0)
    model = client.models.list().data[0].id
    if args.draw:
        drawn = client.images.generate(model=model, prompt="a butterfly on a flower", response_format="b64_json", extra_body={"seed": 1})
        picture = base64.b64decode(drawn.data[0].b64_json)
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        print(f"model {model}: a PNG of {len(picture)} bytes")
    elif args.long:
        pieces, reason = stream(client, model, 1500, lambda: print("begun", flush=True), extra_body={"ignore_eos": True})
        print(f"the reply went on to its end: {pieces} pieces, {reason}")
    else:
        reply = client.chat.completions.create(model=model, max_tokens=16, temperature=0,
                                               messages=[{"role": "user", "content": "Say hello."}])
        assert reply.choices[0].message.content and reply.usage.completion_tokens
        print(reply.choices[0].message.content)
        pieces, reason = stream(client, model, 24)
        print(f"model {model}: a chat of {reply.usage.total_tokens} tokens; a stream of {pieces} pieces, {reason}")


if __name__ == "__main__":
    main()
