# SPDX-License-Identifier: Apache-2.0
"""Questions without pictures: some to keep the language model's talk by, others to measure it on."""

TOPICS = """the sky|rain|the moon|volcanoes|rivers|the ocean|snow|deserts|trees|bees|whales|cats|dogs|horses|birds|bread|coffee|tea|rice|
apples|cheese|chocolate|salt|the heart|sleep|dreams|memory|laughter|music|the piano|the violin|painting|poetry|novels|chess|football|
swimming|bicycles|trains|airplanes|bridges|clocks|glass|iron|gold|paper|the telephone|the radio|computers|the internet|robots|rockets|
electricity|magnets|light|sound|heat|gravity|atoms|cells|genes|vitamins|medicine|vaccines|mathematics|prime numbers|fractions|triangles|
money|banks|trade|cities|villages|farms|gardens|castles|museums|libraries|schools|teachers|friendship|courage|patience|honesty""".replace("\n", "").split("|")
HELD_OUT_TOPICS = """the sun|clouds|earthquakes|lakes|wind|forests|ants|elephants|rabbits|milk|honey|potatoes|the brain|breathing|the guitar|
dancing|tennis|ships|cars|maps""".replace("\n", "").split("|")
FORMS = ["What is one interesting fact about {}?", "Write one short sentence about {}.", "Explain {} to a child in one sentence.",
         "Why do people care about {}? Answer in one sentence.", "Name three words that go with {}.", "Ask me a question about {}.",
         "Is there anything surprising about {}?", "Tell me something about {} in a few words.", "Give me a title for a story about {}.",
         "What should I read to learn about {}?"]


def training_prompts():
    return [form.format(topic) for topic in TOPICS for form in FORMS]


def measuring_prompts():
    """200 that share no topic with the others."""
    return [form.format(topic) for topic in HELD_OUT_TOPICS for form in FORMS]
