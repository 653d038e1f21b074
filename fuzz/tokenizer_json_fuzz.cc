// SPDX-License-Identifier: Apache-2.0
//
// A tokenizer.json from outside: parse it, and if it is one, encode and decode with it.
#include <cstdint>
#include <string_view>
#include <vector>

#include "llava/core/error.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/stream_decoder.h"
#include "llava/text/tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llava::text;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  try {
    FastTokenizer tokenizer(parse_tokenizer_json(bytes, "fuzz"));
    tokenizer.add_special_token("<im_patch>");
    for (const std::string_view text :
         {"", " Hello  world 123\n", "e\xCC\x81 <s>\xE2\x96\x81\xF0\x9F\x98\x80\xFF-a",
          "aaaabbbb"}) {
      const std::vector<int32_t> ids = tokenizer.encode(text, true);
      tokenizer.decode(ids, false);
      StreamDecoder stream(tokenizer, true);
      for (const int32_t id : ids) stream.push(id);
      stream.finish();
    }
  } catch (const llava::Error&) {
  }
  return 0;
}
