/* What the help texts and the manual page say of each subcommand. */
#include "config/settings.h"

/* clang-format off */
const struct command_text command_texts[COMMAND_COUNT] = {
    [COMMAND_SERVE] = {.name = "serve", .synopsis = "",
        .summary = "answer OpenAI's HTTP API",
        .text =
            "Serves one model over HTTP: chat with text and pictures, and drawing. The port answers at once, with 503 "
            "while the model loads. SIGTERM or Ctrl-C stops taking requests and lets replies finish; a second one ends "
            "them.",
        .examples =
            "vargpt serve\n"
            "vargpt serve -m ~/VARGPT_LLaVA-v1 --host 0.0.0.0 --port 8080 --cache 8G\n"
            "VARGPT_PORT=9000 vargpt serve --config config/vargpt.example.json\n"},
    [COMMAND_CHAT] = {.name = "chat", .max_args = 1, .synopsis = "[prompt]",
        .summary = "talk with the model in the terminal",
        .text =
            "With a prompt, prints one reply and ends; \"-\" reads the prompt from standard input. Without, takes a "
            "line a turn: /image FILE shows the model a picture with the next line, /draw [PROMPT] has one drawn, "
            "/save FILE saves the last one, /reset starts over, /help lists these, /quit or Ctrl-D ends. Ctrl-C stops "
            "a reply. Pictures are shown in terminals that can (kitty, iTerm2, sixel), and otherwise saved.",
        .examples =
            "vargpt chat\n"
            "vargpt chat -i cat.png \"What is this?\"\n"
            "git diff | vargpt chat -m model.gguf --temperature 0 -\n"},
    [COMMAND_DRAW] = {.name = "draw", .max_args = 1, .synopsis = "prompt",
        .summary = "draw pictures from a prompt",
        .text =
            "Draws a picture and saves it. A PNG keeps the image tokens and the seed it was drawn with. \"-\" reads "
            "the prompt from standard input. The seed is printed: the same one draws the same picture again.",
        .examples =
            "vargpt draw \"a butterfly on a flower\" -o butterfly.png\n"
            "vargpt draw \"a butterfly on a flower\" -n 4 --seed 7 --cfg 3 -o butterfly.webp\n"
            "vargpt draw \"a butterfly on a flower\" --previews scales -o butterfly.png\n"},
    [COMMAND_TOKENIZE] = {.name = "tokenize", .max_args = 1, .synopsis = "[text]",
        .summary = "show text as the model's tokens",
        .text =
            "Prints id and piece of each token, the post-processor's (such as <s>) included. Without text, or with "
            "\"-\", reads standard input. With --decode, reads ids, separated by spaces or commas.",
        .examples =
            "vargpt tokenize \"Hello there\"\n"
            "vargpt tokenize --ids < letter.txt\n"
            "vargpt tokenize --decode \"1 15043 727\"\n"},
    [COMMAND_INSPECT] = {.name = "inspect", .max_args = 1, .synopsis = "[DIR|FILE.gguf]",
        .summary = "describe a checkpoint",
        .text =
            "Prints a checkpoint's architecture, parameters and bytes by part and type, special tokens, and the memory "
            "that serving it needs. Weights are not read.",
        .examples =
            "vargpt inspect models/demo\n"
            "vargpt inspect llama.gguf --json\n"},
    [COMMAND_VERIFY] = {.name = "verify", .max_args = 64, .synopsis = "DIR...",
        .summary = "compare with reference vectors",
        .text =
            "Runs every case of golden folders (cases.json, expected.safetensors, checkpoint/; or tokenizer.json and "
            "tokenizer.jsonl) and prints how far off each is, and how far off it may be.",
        .examples =
            "vargpt verify tests/golden/tiny-a tests/golden/tiny-b\n"},
    [COMMAND_COMPARE] = {.name = "compare", .synopsis = "",
        .summary = "see what numbers of fewer bits cost",
        .text =
            "Computes a text, some drawings and a look at one of them twice: exactly, in float32 on the processor, and as "
            "--device, --precision, --cache-type and --weights say. Prints how far the distributions of each next token "
            "and image code are apart (Kullback-Leibler divergence), and how often the likeliest is the same.",
        .examples =
            "vargpt compare --cache-type int8\n"
            "vargpt compare -m ~/VARGPT_LLaVA-v1 --device cuda --weights int4\n"},
    [COMMAND_BENCH] = {.name = "bench", .max_args = 1, .synopsis = "[OPERATION]",
        .summary = "measure this machine, and a model on it",
        .text =
            "Measures what the processor and its memory can do and how near the operations come to it: products, "
            "convolutions and attention, or the OPERATION named (linear, conv2d, group_norm, attention, rows, noise, "
            "sample, nearest, all). With -m instead: loading, looking at a picture, reading prompts, writing text, "
            "drawing, and several requests at once.",
        .examples =
            "vargpt bench\n"
            "vargpt bench -m models/demo --json\n"},
    [COMMAND_HEALTH] = {.name = "health", .synopsis = "",
        .summary = "ask a server whether it is ready",
        .text =
            "Ends with 0 when the server answers /health with 200, otherwise with 1 and the reason. For a container's "
            "health check.",
        .examples =
            "vargpt health --port 8000\n"},
    [COMMAND_CONFIG] = {.name = "config", .synopsis = "",
        .summary = "print an example of a settings file",
        .text =
            "Prints the settings a file may hold.",
        .examples =
            "vargpt config --example > vargpt.json\n"},
    [COMMAND_MAN] = {.name = "man", .synopsis = "",
        .summary = "print the manual page",
        .text =
            "Prints the manual page, for man(1).",
        .examples =
            "vargpt man > vargpt.1 && man -l vargpt.1\n"},
};
/* clang-format on */
