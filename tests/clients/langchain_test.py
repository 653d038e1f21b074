#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""LangChain's OpenAI package, unmodified, against `llava serve` with a golden model, and against `llava api` before a controller
and a worker.

usage: langchain_test.py PROGRAM ROOT     status 77 when it is not installed (scripts/setup --dev)

What its ways of asking say is compared with each other and with the plain request; no tools, which the server refuses.
"""

import asyncio
import importlib.metadata
import os
import sys
from typing import Literal

# Whatever the user has set, nothing is reported to LangSmith.
os.environ |= {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false"}
try:
    import openai
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate
    from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
    from pydantic import BaseModel
except ImportError as error:
    print(f"skipped: {error} (scripts/setup --dev)")
    sys.exit(77)

from served import FLAGS, MODEL, PICTURE_BASE64, PICTURE_URL, QUESTION, expect, gateway_of, server_of

TEXTS = ["One", "Two", "Three"]


class Shape(BaseModel):
    """A shape."""

    shape: Literal["circle", "triangle"]


def settings_of(address, **others):
    return {"base_url": address + "/v1", "api_key": "none", "model": MODEL, "max_retries": 0} | others


def picture_messages():
    """One question in the forms in which LangChain's messages hold pictures."""
    pictures = [
        {"type": "image_url", "image_url": {"url": PICTURE_URL, "detail": "auto"}},
        {"type": "image", "base64": PICTURE_BASE64, "mime_type": "image/png"},
        {"type": "image", "source_type": "base64", "data": PICTURE_BASE64, "mime_type": "image/png"},
    ]
    return [[HumanMessage([{"type": "text", "text": QUESTION}, picture])] for picture in pictures]


def check_whole(chat, address):
    """What a plain request with the same question says."""
    client = openai.OpenAI(base_url=address + "/v1", api_key="none", max_retries=0)
    content = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    plain = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}], temperature=0, max_tokens=8)
    for messages in picture_messages():
        answer = chat.invoke(messages)
        expect(answer.content == plain.choices[0].message.content, answer)
        expect(answer.usage_metadata["input_tokens"] == plain.usage.prompt_tokens, answer.usage_metadata)
        expect(answer.usage_metadata["output_tokens"] == 8, answer.usage_metadata)
        expect(answer.response_metadata["finish_reason"] == "length", answer.response_metadata)
        expect(answer.response_metadata["model_name"] == MODEL, answer.response_metadata)
        expect(not answer.tool_calls, answer)
    probabilities = chat.bind(logprobs=True, top_logprobs=2).invoke("Hi").response_metadata["logprobs"]["content"]
    expect(len(probabilities) == 8 and len(probabilities[0]["top_logprobs"]) == 2, probabilities)


def check_streams(chat, address):
    messages = picture_messages()[0]
    whole = chat.invoke(messages).content
    pieces = list(chat.stream(messages))
    expect("".join(piece.content for piece in pieces) == whole, pieces)
    expect([piece.response_metadata["finish_reason"] for piece in pieces if "finish_reason" in piece.response_metadata] == ["length"], pieces)
    counted = ChatOpenAI(**settings_of(address, temperature=0, max_tokens=8, stream_usage=True))
    usages = [piece.usage_metadata for piece in counted.stream(messages) if piece.usage_metadata]
    expect(len(usages) == 1 and usages[0]["output_tokens"] == 8, usages)
    # LangChain's own addition: the sum of the pieces is the message.
    total = pieces[0]
    for piece in pieces[1:]:
        total += piece
    expect(total.content == whole, total)


def check_several(chat):
    """Batches, chains, conversations and the event loop say what single questions do."""
    alone = [chat.invoke(text).content for text in TEXTS]
    expect([answer.content for answer in chat.batch(TEXTS)] == alone)
    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | chat | StrOutputParser()
    expect([chain.invoke({"question": text}) for text in TEXTS] == alone)
    expect("".join(chain.stream({"question": TEXTS[0]})) == alone[0])
    history = [SystemMessage("Be brief."), HumanMessage("One"), AIMessage("1"), HumanMessage([{"type": "text", "text": "Two"}])]
    stop = chat.invoke(history).content[1]
    stopped = chat.invoke(history, stop=[stop])
    expect(stop not in stopped.content and stopped.response_metadata["finish_reason"] == "stop", stopped)

    async def ask():
        expect((await chat.ainvoke(TEXTS[0])).content == alone[0])
        expect("".join([piece.content async for piece in chat.astream(TEXTS[1])]) == alone[1])
        expect([answer.content for answer in await chat.abatch(TEXTS)] == alone)

    asyncio.run(ask())


def check_structure(address):
    chat = ChatOpenAI(**settings_of(address, temperature=0, max_tokens=60))
    for schema in (Shape, Shape.model_json_schema()):
        found = chat.with_structured_output(schema, method="json_schema").invoke("Which shape?")
        shape = found.shape if isinstance(found, Shape) else found["shape"]
        expect(shape in ("circle", "triangle"), found)
    found = chat.with_structured_output(Shape, method="json_schema", include_raw=True).invoke(picture_messages()[0])
    expect(isinstance(found["parsed"], Shape) and found["parsing_error"] is None, found)
    expect(isinstance(chat.with_structured_output(None, method="json_mode").invoke("An object, please"), dict))


def check_refusals(chat, address):
    for run, kind, words in [
        (lambda: ChatOpenAI(**settings_of(address, model="other")).invoke("Hi"), openai.NotFoundError, "other"),
        (lambda: chat.bind_tools([Shape]).invoke("Hi"), openai.BadRequestError, "tools are not supported"),
        (lambda: chat.bind(temperature=9).invoke("Hi"), openai.BadRequestError, "temperature"),
    ]:
        try:
            run()
        except kind as error:
            expect(words in str(error), error)
        else:
            raise AssertionError(words)


def check_others(address):
    """Text completions and embeddings."""
    completion = OpenAI(**settings_of(address, temperature=0, max_tokens=4))
    expect(completion.invoke("One") == "".join(completion.stream("One")))
    expect(completion.batch(TEXTS) == [completion.invoke(text) for text in TEXTS])
    # Otherwise it cuts texts into tokens of OpenAI's models, for which it needs the network.
    embeddings = OpenAIEmbeddings(**settings_of(address, check_embedding_ctx_length=False))
    vectors = embeddings.embed_documents(TEXTS)
    again = embeddings.embed_query(TEXTS[1])
    expect(len(vectors) == 3 and max(abs(a - b) for a, b in zip(vectors[1], again, strict=True)) < 1e-6)


def check(address):
    chat = ChatOpenAI(**settings_of(address, temperature=0, max_tokens=8))
    check_whole(chat, address)
    check_streams(chat, address)
    check_several(chat)
    check_structure(address)
    check_refusals(chat, address)
    check_others(address)


def main():
    with server_of("serve", *FLAGS) as address:
        check(address)
    with gateway_of() as gateway:
        client = openai.OpenAI(base_url=gateway + "/v1", api_key="none", max_retries=0)
        while not client.models.list().data:
            pass
        check(gateway)
    print(f"langchain-openai {importlib.metadata.version('langchain-openai')} agrees")


main()
