// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/gguf.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/core/file.h"
#include "llava/tensor/packed.h"
#include "support/paths.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using llava::testing::expect_error;
using model::DecoderFamily;
using model::RopeScaling;

fs::path data(const std::string& name) { return test_data() / "checkpoint" / "gguf" / name; }

void expect_equal(const Tensor& found, const Tensor& expected) {
  EXPECT_EQ(found.shape(), expected.shape());
  ASSERT_EQ(found.num_bytes(), expected.num_bytes());
  EXPECT_TRUE(std::equal(found.bytes().begin(), found.bytes().end(), expected.bytes().begin()));
}

std::shared_ptr<const GgufFile> parse(std::string content) {
  const auto owner = std::make_shared<std::string>(std::move(content));
  return std::make_shared<const GgufFile>(
      FileBytes{"mem.gguf", std::as_bytes(std::span(*owner)), owner});
}

TEST(Gguf, ExpandsEveryBlockTypeBitExactly) {
  const auto file = GgufFile::open(data("types.gguf"));
  const auto expected = SafetensorsFile::open(data("expected.safetensors"));
  for (const char* type :
       {"Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "F32", "F16", "I32"}) {
    SCOPED_TRACE(type);
    EXPECT_EQ(file->tensors().at(type).stored_as, type);
    expect_equal(file->load(type), expected->load(type));
    // Rows in reverse are the same rows.
    const int64_t rows = file->tensors().at(type).shape[0];
    std::vector<int64_t> reversed;
    for (int64_t i = rows; i-- > 0;) reversed.push_back(i);
    const Tensor backwards = file->load_rows(type, reversed);
    for (int64_t i = 0; i < rows; ++i) {
      expect_equal(backwards.rows(i, i + 1), expected->load(type).rows(rows - 1 - i, rows - i));
    }
  }
  EXPECT_EQ(file->load("BF16").dtype(), DType::kBFloat16);
  expect_equal(file->load("BF16"), expected->load("BF16_bits"));
  EXPECT_EQ(file->tensors().at("Q4_K").dtype, DType::kFloat32);
}

TEST(Gguf, ReadsMetadataOfEveryType) {
  const auto file = GgufFile::open(data("types.gguf"));
  EXPECT_EQ(file->get_int("t.uint8"), 200);
  EXPECT_EQ(file->get_int("t.int8"), -100);
  EXPECT_EQ(file->get_int("t.uint16"), 60000);
  EXPECT_EQ(file->get_int("t.int16"), -30000);
  EXPECT_EQ(file->get_int("t.uint32"), 4000000000);
  EXPECT_EQ(file->get_int("t.int32"), -2000000000);
  EXPECT_EQ(file->get_int("t.uint64"), int64_t{1} << 62);
  EXPECT_EQ(file->get_int("t.int64"), -(int64_t{1} << 62));
  EXPECT_EQ(file->get_number("t.float32"), static_cast<double>(0.1f));
  EXPECT_EQ(file->get_number("t.float64"), 0.1);
  EXPECT_EQ(file->get_bool("t.bool"), true);
  EXPECT_EQ(file->get_string("t.string"), "caf\xc3\xa9 \xe4\xbd\xa0");
  EXPECT_EQ(file->get_string_list("t.strings"),
            (std::vector<std::string>{"a", "", "\xe4\xbd\xa0"}));
  EXPECT_EQ(file->get_int_list("t.ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(file->get_float_list("t.floats"), (std::vector<float>{0.5f, -1.25f}));
  EXPECT_EQ(file->get_int("absent"), std::nullopt);
  expect_error(ErrorCode::kBadFormat, {"types.gguf", "t.string", "string", "an integer"},
               [&] { file->get_int("t.string"); });
  expect_error(ErrorCode::kBadFormat, {"t.floats", "array of float32"},
               [&] { file->get_int_list("t.floats"); });
  expect_error(ErrorCode::kBadFormat, {"t.ints"}, [&] { file->get_string_list("t.ints"); });
  expect_error(ErrorCode::kBadFormat, {"t.uint8"}, [&] { file->get_bool("t.uint8"); });
}

TEST(Gguf, LanguageModelsHaveOriginalNamesAndRowOrder) {
  const auto expected = SafetensorsFile::open(data("expected.safetensors"));
  for (const std::string name : {"llama", "llama_bias", "llama3", "qwen2", "llama_blocks"}) {
    SCOPED_TRACE(name);
    const auto source = gguf_language_model(GgufFile::open(data(name + ".gguf")));
    std::size_t count = 0;
    for (const auto& [key, info] : expected->tensors()) {
      if (!key.starts_with(name + "/")) continue;
      SCOPED_TRACE(key);
      ++count;
      expect_equal(source->load(key.substr(name.size() + 1)), expected->load(key));
    }
    EXPECT_EQ(source->tensors().size(), count);
    EXPECT_GE(count, 11u);
  }
}

TEST(Gguf, KeptBlocksAreTheSameWeightsInTheSameOrder) {
  ThreadPool pool(2);
  int num_packed = 0;
  for (const std::string name : {"llama", "llama_blocks"}) {
    const auto file = GgufFile::open(data(name + ".gguf"));
    const auto floats = gguf_language_model(file);
    for (ThreadPool* threads : {&pool, static_cast<ThreadPool*>(nullptr)}) {
      const auto packed = gguf_language_model(file, {.keeps_blocks = true, .pool = threads});
      for (const auto& [key, info] : packed->tensors()) {
        SCOPED_TRACE(key);
        const Tensor kept = packed->load(key);
        EXPECT_EQ(kept.dtype(), info.dtype);
        EXPECT_EQ(kept.shape(), info.shape);
        const bool is_matrix_of_blocks =
            info.shape.size() == 2 && info.stored_as != "F32" && info.stored_as != "F16";
        ASSERT_EQ(is_packed(info.dtype), is_matrix_of_blocks) << info.stored_as;
        expect_equal(is_packed(info.dtype) ? dequantize(kept) : kept, floats->load(key));
        num_packed += is_packed(info.dtype);
      }
    }
  }
  EXPECT_GE(num_packed, 2 * 8);
}

TEST(Gguf, ReadsTheDecoderConfig) {
  auto c = read_gguf_decoder_config(*GgufFile::open(data("llama.gguf")));
  EXPECT_EQ(c.family, DecoderFamily::kLlama);
  EXPECT_EQ(c.vocab_size, 10);
  EXPECT_EQ(c.hidden_size, 12);
  EXPECT_EQ(c.intermediate_size, 16);
  EXPECT_EQ(c.num_hidden_layers, 1);
  EXPECT_EQ(c.num_attention_heads, 4);
  EXPECT_EQ(c.num_key_value_heads, 2);
  EXPECT_EQ(c.head_dim, 8);
  EXPECT_EQ(c.max_position_embeddings, 64);
  EXPECT_FLOAT_EQ(c.rms_norm_eps, 1e-5f);
  EXPECT_FALSE(c.is_head_tied);
  EXPECT_FALSE(c.has_qkv_bias);

  c = read_gguf_decoder_config(*GgufFile::open(data("llama_bias.gguf")));
  EXPECT_TRUE(c.has_qkv_bias);
  EXPECT_FALSE(c.has_output_bias);
  EXPECT_TRUE(c.is_head_tied);
  EXPECT_EQ(c.rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(c.rope.factor, 2.0);

  c = read_gguf_decoder_config(*GgufFile::open(data("llama3.gguf")));
  EXPECT_EQ(c.rope.theta, 5e5);
  EXPECT_EQ(c.rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(c.rope.factor, 8.0);
  EXPECT_EQ(c.rope.original_max_position_embeddings, 8192);

  c = read_gguf_decoder_config(*GgufFile::open(data("qwen2.gguf")));
  EXPECT_EQ(c.family, DecoderFamily::kQwen2);
  EXPECT_TRUE(c.has_qkv_bias);

  expect_error(ErrorCode::kUnsupported, {"unknown_rope.gguf", "rope_freqs.weight"},
               [&] { read_gguf_decoder_config(*GgufFile::open(data("unknown_rope.gguf"))); });
  expect_error(ErrorCode::kBadFormat, {"types.gguf", "llama.embedding_length", "absent"},
               [&] { read_gguf_decoder_config(*GgufFile::open(data("types.gguf"))); });
}

TEST(Gguf, ReadsTheVocabulary) {
  const auto v = read_gguf_vocabulary(*GgufFile::open(data("llama.gguf")));
  EXPECT_EQ(v.model, "gpt2");
  EXPECT_EQ(v.pre, "smollm");
  EXPECT_EQ(v.tokens.size(), 10u);
  EXPECT_EQ(v.tokens[9], "t9");
  EXPECT_EQ(v.types, (std::vector<int32_t>{3, 1, 1, 1, 1, 1, 1, 1, 4, 6}));
  EXPECT_EQ(v.scores[3], -3.0f);
  EXPECT_EQ(v.merges, (std::vector<std::string>{"t 1", "t 2"}));
  EXPECT_EQ(v.bos_id, 1);
  EXPECT_EQ(v.eos_id, 2);
  EXPECT_EQ(v.unk_id, std::nullopt);
  EXPECT_EQ(v.add_bos, false);
  EXPECT_EQ(v.add_eos, std::nullopt);
  EXPECT_EQ(v.chat_template, "{{ messages }}");
  expect_error(ErrorCode::kNotFound, {"types.gguf", "tokenizer.ggml.tokens"},
               [&] { read_gguf_vocabulary(*GgufFile::open(data("types.gguf"))); });
}

// A file of one metadata value or tensor, for what the writer refuses to write.
class Builder {
 public:
  template <class T>
  Builder& number(T value) {
    content_.append(reinterpret_cast<const char*>(&value), sizeof(value));
    return *this;
  }
  Builder& text(std::string_view text) {
    number<uint64_t>(text.size());
    content_ += text;
    return *this;
  }
  static Builder file(uint64_t tensors, uint64_t values, uint32_t version = 3) {
    Builder builder;
    builder.content_ = "GGUF";
    return builder.number(version).number(tensors).number(values);
  }
  Builder& tensor(std::vector<uint64_t> dims, uint32_t type, uint64_t offset = 0) {
    text("t").number(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) number(dim);
    return number(type).number(offset);
  }
  Builder& padding(std::size_t bytes) {
    content_.append(bytes, '\0');
    return *this;
  }
  void expect(ErrorCode code, std::initializer_list<std::string> words) const {
    expect_error(code, words, [&] { parse(content_); });
  }

 private:
  std::string content_;
};

TEST(Gguf, RefusesDamagedFiles) {
  const ErrorCode bad = ErrorCode::kBadFormat;
  const ErrorCode unsupported = ErrorCode::kUnsupported;
  constexpr uint32_t kInt32Type = 5;
  constexpr uint32_t kStringType = 8;
  constexpr uint32_t kArrayType = 9;
  Builder::file(0, 0, 1).expect(unsupported, {"version 1"});
  Builder::file(0, 0, 0x03000000).expect(unsupported, {"big-endian"});
  Builder::file(uint64_t{1} << 60, 0).padding(64).expect(bad, {"tensors at byte 8"});
  Builder::file(0, uint64_t{1} << 60).padding(64).expect(bad, {"metadata values"});
  Builder::file(0, 1).text("k").number<uint32_t>(99).padding(9).expect(bad, {"'k'", "unknown"});
  Builder::file(0, 1)
      .text("k")
      .number(kArrayType)
      .number(kArrayType)
      .number<uint64_t>(1)
      .padding(9)
      .expect(bad, {"'k'", "nested"});
  Builder::file(0, 1)
      .text("k")
      .number(kArrayType)
      .number(kInt32Type)
      .number(uint64_t{1} << 61)
      .padding(9)
      .expect(bad, {"'k'", "more than fit"});
  Builder::file(0, 1)
      .text("k")
      .number(kArrayType)
      .number(kStringType)
      .number(uint64_t{1} << 61)
      .padding(64)
      .expect(bad, {"metadata string"});
  Builder::file(0, 1)
      .text("k")
      .number(kStringType)
      .number(~uint64_t{0})
      .padding(9)
      .expect(bad, {"metadata string"});
  Builder::file(0, 2)
      .text("k")
      .number(kInt32Type)
      .number(1)
      .text("k")
      .number(kInt32Type)
      .number(1)
      .expect(bad, {"'k'", "twice"});
  Builder::file(0, 1)
      .text("general.alignment")
      .number(kInt32Type)
      .number(24)
      .expect(bad, {"general.alignment", "24"});
  Builder::file(0, 1)
      .text("split.count")
      .number(kInt32Type)
      .number(3)
      .expect(unsupported, {"3 parts", "merge"});
  Builder::file(1, 0).tensor({8}, 0).padding(8).expect(bad, {"'t'", "32 bytes", "data section"});
  Builder::file(1, 0).tensor({8}, 0, 7).padding(256).expect(bad, {"offset 7", "aligned to 32"});
  Builder::file(1, 0).tensor({8}, 0, ~uint64_t{31}).padding(256).expect(bad, {"'t'"});
  Builder::file(1, 0).tensor({1, 1, 1, 1, 1}, 0).padding(256).expect(bad, {"5 dimensions"});
  Builder::file(1, 0).tensor({~uint64_t{0}}, 0).padding(256).expect(bad, {"impossible shape"});
  Builder::file(1, 0)
      .tensor({uint64_t{1} << 40, uint64_t{1} << 40}, 0)
      .padding(256)
      .expect(bad, {"impossible shape"});
  Builder::file(1, 0).tensor({33}, 8).padding(256).expect(bad, {"Q8_0", "[33]"});
  Builder::file(1, 0).tensor({256}, 10).padding(256).expect(unsupported, {"'t'", "Q2_K"});
  Builder::file(1, 0).tensor({256}, 77).padding(256).expect(unsupported, {"'t'", "(77)"});
  Builder::file(2, 0).tensor({8}, 0).tensor({8}, 0).padding(256).expect(bad, {"'t'", "twice"});
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string whole = read_file(data("llama.gguf"), 1u << 20);
  // The last tensor may be followed by padding that nobody misses.
  for (std::size_t size = 0; size + 64 < whole.size(); ++size) {
    EXPECT_THROW(parse(whole.substr(0, size)), Error) << "cut at " << size;
  }
}

}  // namespace
}  // namespace llava::checkpoint
