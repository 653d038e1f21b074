// SPDX-License-Identifier: Apache-2.0
//
// Runs llama.cpp through its C API under the control of bench/compare/run: one process holds the
// model, reads one command a line from standard input, does that work once and answers with one
// line of JSON. `llava bench --cases -` understands the same commands, so that two programs can be
// measured in alternation. Built by build_llama_cpp; not part of the project's own build.
//
//   llama_driver MODEL.gguf [mmproj=FILE] [threads=2] [context=2048] [sequences=16] [kv=f16|f32]
//
//   prefill:N            milliseconds of one prompt of N tokens
//   decode:C             milliseconds of each of STEPS tokens after C tokens
//   batch:S              the same for S sequences at context 64, together
//   encode               milliseconds of the vision tower and projector on one picture
//   first_token:T        milliseconds from a picture and T text tokens to the first new token
//   greedy:N:id,id,...   the N most likely next tokens, one after the other
//   score:TOKENS:OUT:W   raw float32 logits of every position of an int32 file, W tokens a window
//   memory               bytes, now and at most
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "llama.h"
#include "mtmd-helper.h"
#include "mtmd.h"

namespace {

constexpr int kSteps = 8;
constexpr int kBatchContext = 64;
constexpr int kImageSide = 336;
constexpr int kTokensBeforeImage = 5;

using Clock = std::chrono::steady_clock;
using Tokens = std::vector<llama_token>;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void require(bool is_right, const std::string& what) {
  if (!is_right) throw std::runtime_error(what);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

long status_bytes(const char* key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return std::atol(line.c_str() + std::string(key).size() + 1) * 1024;
  }
  return 0;
}

std::string list_of(const auto& values) {
  std::ostringstream out;
  out.precision(10);
  for (std::size_t i = 0; i < values.size(); ++i) out << (i == 0 ? "[" : ", ") << values[i];
  out << (values.empty() ? "[]" : "]");
  return out.str();
}

class Driver {
 public:
  explicit Driver(std::map<std::string, std::string> options) : options_(std::move(options)) {
    const auto start = Clock::now();
    ggml_backend_load_all();
    llama_backend_init();
    llama_model_params model_params = llama_model_default_params();
    model_params.n_gpu_layers = 0;
    model_ = llama_model_load_from_file(options_.at("model").c_str(), model_params);
    require(model_ != nullptr, "the model does not load");
    load_ms_ = ms_since(start);
    make_context();
    if (!options_["mmproj"].empty()) open_vision();
    num_vocab_ = llama_vocab_n_tokens(llama_model_get_vocab(model_));
    batch_ = llama_batch_init(number("context"), 0, 1);
    prompt(0, tokens(32));  // touches all weights
    most_likely(-1);
    std::printf(
        "{\"load_ms\": %.3f, \"vision_load_ms\": "
        "%.3f, \"num_parameters\": %llu, \"weight_bytes\": %llu, \"system\": \"%s\"}\n",
        load_ms_, vision_load_ms_, static_cast<unsigned long long>(llama_model_n_params(model_)),
        static_cast<unsigned long long>(llama_model_size(model_)), llama_print_system_info());
    std::fflush(stdout);
  }

  std::string run(const std::string& command) {
    const std::vector<std::string> words = split(command, ':');
    const std::string& name = words.at(0);
    if (name == "prefill") return times({prefill(std::stoi(words.at(1)))});
    if (name == "decode") return times(decode(1, std::stoi(words.at(1))));
    if (name == "batch") return times(decode(std::stoi(words.at(1)), kBatchContext));
    if (name == "encode") return times({encode()});
    if (name == "first_token") return first_token(std::stoi(words.at(1)));
    if (name == "greedy") return greedy(std::stoi(words.at(1)), words.at(2));
    if (name == "score") return score(words.at(1), words.at(2), std::stoi(words.at(3)));
    require(name == "memory", "unknown command '" + command + "'");
    return "{\"bytes\": " + std::to_string(status_bytes("VmRSS")) +
           ", \"peak_bytes\": " + std::to_string(status_bytes("VmHWM")) + "}";
  }

 private:
  int number(const std::string& key) { return std::stoi(options_.at(key)); }

  void make_context() {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = number("context");
    params.n_batch = number("context");
    params.n_ubatch = 512;
    params.n_threads = number("threads");
    params.n_threads_batch = number("threads");
    params.n_seq_max = number("sequences");
    params.kv_unified = true;
    params.no_perf = true;
    const ggml_type kv = options_.at("kv") == "f32" ? GGML_TYPE_F32 : GGML_TYPE_F16;
    params.type_k = kv;
    params.type_v = kv;
    context_ = llama_init_from_model(model_, params);
    require(context_ != nullptr, "no context of this size");
  }

  void open_vision() {
    const auto start = Clock::now();
    mtmd_context_params params = mtmd_context_params_default();
    params.use_gpu = false;
    params.n_threads = number("threads");
    params.print_timings = false;
    params.warmup = false;
    vision_ = mtmd_init_from_file(options_["mmproj"].c_str(), model_, params);
    require(vision_ != nullptr, "the vision file does not load");
    vision_load_ms_ = ms_since(start);
    std::vector<unsigned char> pixels(std::size_t{3} * kImageSide * kImageSide);
    for (unsigned char& value : pixels) value = static_cast<unsigned char>(next_random());
    mtmd_bitmap* picture = mtmd_bitmap_init(kImageSide, kImageSide, pixels.data());
    const std::string marker = mtmd_default_marker();
    mtmd_input_text text{};
    text.text = marker.c_str();
    text.text_len = marker.size();
    text.parse_special = true;
    chunks_ = mtmd_input_chunks_init();
    const mtmd_bitmap* pictures[] = {picture};
    require(mtmd_tokenize(vision_, chunks_, &text, pictures, 1) == 0, "the picture is refused");
    for (std::size_t i = 0; i < mtmd_input_chunks_size(chunks_); ++i) {
      const mtmd_input_chunk* chunk = mtmd_input_chunks_get(chunks_, i);
      if (mtmd_input_chunk_get_type(chunk) == MTMD_INPUT_CHUNK_TYPE_IMAGE) picture_ = chunk;
    }
    require(picture_ != nullptr, "no picture in the prompt");
    mtmd_bitmap_free(picture);
  }

  uint32_t next_random() {
    random_ = random_ * 1664525u + 1013904223u;
    return random_ >> 8;
  }

  Tokens tokens(int count) {
    Tokens result;
    for (int i = 0; i < count; ++i) {
      result.push_back(static_cast<llama_token>(300 + next_random() % (num_vocab_ - 600)));
    }
    return result;
  }

  void add(llama_token token, int position, int sequence, bool wants_logits) {
    const int i = batch_.n_tokens++;
    batch_.token[i] = token;
    batch_.pos[i] = position;
    batch_.n_seq_id[i] = 1;
    batch_.seq_id[i][0] = sequence;
    batch_.logits[i] = wants_logits;
  }

  void compute() {
    require(llama_decode(context_, batch_) == 0, "llama_decode failed");
    batch_.n_tokens = 0;
  }

  void forget() { llama_memory_clear(llama_get_memory(context_), true); }

  void prompt(int sequence, const Tokens& ids, int first_position = 0) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      add(ids[i], first_position + static_cast<int>(i), sequence, i + 1 == ids.size());
    }
    compute();
  }

  llama_token most_likely(int row) {
    const float* logits = llama_get_logits_ith(context_, row);
    const auto best = static_cast<int>(std::max_element(logits, logits + num_vocab_) - logits);
    require(std::isfinite(logits[best]), "logits are not finite");
    return best;
  }

  double prefill(int count) {
    const Tokens ids = tokens(count);
    forget();
    prepared_ = {};
    const auto start = Clock::now();
    prompt(0, ids);
    most_likely(-1);
    return ms_since(start);
  }

  std::vector<double> decode(int num_sequences, int context) {
    llama_memory_t memory = llama_get_memory(context_);
    if (prepared_ != std::pair(num_sequences, context)) {
      forget();
      for (int s = 0; s < num_sequences; ++s) prompt(s, tokens(context));
      prepared_ = {num_sequences, context};
    }
    Tokens next = tokens(num_sequences);
    std::vector<double> steps;
    for (int step = 0; step < kSteps; ++step) {
      const auto start = Clock::now();
      for (int s = 0; s < num_sequences; ++s) add(next[s], context + step, s, true);
      compute();
      for (int s = 0; s < num_sequences; ++s) next[s] = most_likely(s);
      steps.push_back(ms_since(start));
    }
    for (int s = 0; s < num_sequences; ++s) llama_memory_seq_rm(memory, s, context, -1);
    return steps;
  }

  double encode() {
    require(vision_ != nullptr, "no mmproj given");
    const auto start = Clock::now();
    require(mtmd_encode_chunk(vision_, picture_) == 0, "encoding failed");
    const double ms = ms_since(start);
    require(std::isfinite(mtmd_get_output_embd(vision_)[0]), "picture features are not finite");
    return ms;
  }

  std::string first_token(int num_text_tokens) {
    const Tokens before = tokens(kTokensBeforeImage);
    const Tokens after = tokens(num_text_tokens - kTokensBeforeImage);
    forget();
    prepared_ = {};
    const auto start = Clock::now();
    const double encode_ms = encode();
    prompt(0, before);
    llama_pos position = 0;
    require(mtmd_helper_decode_image_chunk(vision_, context_, picture_,
                                           mtmd_get_output_embd(vision_), kTokensBeforeImage, 0,
                                           number("context"), &position, nullptr, nullptr) == 0,
            "the picture's tokens are refused");
    prompt(0, after, position);
    most_likely(-1);
    const double total = ms_since(start);
    return "{\"ms\": [" + std::to_string(total) + "], \"encode_ms\": " + std::to_string(encode_ms) +
           ", \"prompt_tokens\": " + std::to_string(position + static_cast<int>(after.size())) +
           "}";
  }

  std::string greedy(int count, const std::string& text) {
    Tokens ids;
    for (const std::string& id : split(text, ',')) ids.push_back(std::stoi(id));
    forget();
    prepared_ = {};
    prompt(0, ids);
    Tokens result{most_likely(-1)};
    while (static_cast<int>(result.size()) < count) {
      prompt(0, {result.back()}, static_cast<int>(ids.size() + result.size()) - 1);
      result.push_back(most_likely(-1));
    }
    return "{\"ids\": " + list_of(result) + "}";
  }

  std::string score(const std::string& in, const std::string& out, int window) {
    std::ifstream file(in, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    Tokens ids(bytes.size() / sizeof(llama_token));
    std::copy_n(bytes.data(), ids.size() * sizeof(llama_token),
                reinterpret_cast<char*>(ids.data()));
    require(!ids.empty() && window <= number("context"), "no tokens, or too long a window");
    std::ofstream logits(out, std::ios::binary);
    prepared_ = {};
    for (std::size_t begin = 0; begin < ids.size(); begin += static_cast<std::size_t>(window)) {
      const int count = static_cast<int>(std::min(ids.size() - begin, std::size_t(window)));
      forget();
      for (int i = 0; i < count; ++i) add(ids[begin + static_cast<std::size_t>(i)], i, 0, true);
      compute();
      for (int i = 0; i < count; ++i) {
        logits.write(reinterpret_cast<const char*>(llama_get_logits_ith(context_, i)),
                     static_cast<std::streamsize>(sizeof(float)) * num_vocab_);
      }
    }
    require(logits.good(), "cannot write " + out);
    return "{\"tokens\": " + std::to_string(ids.size()) +
           ", \"vocabulary\": " + std::to_string(num_vocab_) + "}";
  }

  static std::string times(const std::vector<double>& ms) {
    return "{\"ms\": " + list_of(ms) + "}";
  }

  std::map<std::string, std::string> options_;
  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
  mtmd_context* vision_ = nullptr;
  mtmd_input_chunks* chunks_ = nullptr;
  const mtmd_input_chunk* picture_ = nullptr;
  llama_batch batch_{};
  int num_vocab_ = 0;
  double load_ms_ = 0, vision_load_ms_ = 0;
  std::pair<int, int> prepared_{};  // sequences and context that the cache holds
  uint32_t random_ = 1;
};

void be_silent(ggml_log_level, const char*, void*) {}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options{
      {"threads", "2"}, {"context", "2048"}, {"sequences", "16"}, {"kv", "f16"}, {"mmproj", ""}};
  if (argc < 2) {
    std::fprintf(stderr, "llama_driver MODEL.gguf [key=value ...]\n");
    return 2;
  }
  options["model"] = argv[1];
  for (int i = 2; i < argc; ++i) {
    const std::string option = argv[i];
    const std::size_t equals = option.find('=');
    if (equals == std::string::npos || !options.contains(option.substr(0, equals))) {
      std::fprintf(stderr, "unknown option %s\n", argv[i]);
      return 2;
    }
    options[option.substr(0, equals)] = option.substr(equals + 1);
  }
  llama_log_set(be_silent, nullptr);
  mtmd_helper_log_set(be_silent, nullptr);
  try {
    Driver driver(options);
    for (std::string command; std::getline(std::cin, command);) {
      std::printf("%s\n", driver.run(command).c_str());
      std::fflush(stdout);
    }
  } catch (const std::exception& error) {
    std::printf("{\"error\": \"%s\"}\n", error.what());
    return 1;
  }
  return 0;
}
