// SPDX-License-Identifier: Apache-2.0
//
// Terms and licence where the operator gives none of his own (--terms-file, --license-file): what
// the original's demonstration asks of its users, in our words.

export const DEFAULT_TERMS = `By using this service you agree to the following. It is a research preview for non-commercial use only. It has
limited safety measures and may produce offensive content. It must not be used for any illegal, harmful, violent, racist or sexual purpose.
The operator may collect the dialogues for research. Please press *Flag* when an answer is inappropriate: such reports help to improve
moderation. For the best experience use a computer rather than a phone.`;

export const DEFAULT_LICENSE = `The service is subject to the licences of the model that it serves: for models built on LLaMA the LLaMA model licence,
for those trained on generated data the [terms of use](https://openai.com/policies/terms-of-use) of OpenAI, for ShareGPT data its privacy practices.
Please tell the operator about anything that may violate them.`;
