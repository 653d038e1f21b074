// SPDX-License-Identifier: Apache-2.0
#include "program.h"
#include "support/paths.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace llava::testing {
namespace {

const std::filesystem::path kGolden = source_folder() / "tests/golden";

}  // namespace

ProcessRequest program_request(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), LLAVA_PROGRAM);
  return {.arguments = std::move(arguments),
          .environment = {{"LLAVA_THREADS", "2"},
                          {"LLAVA_LOG", ""},
                          {"LLAVA_KERNELS", ""},
                          {"HF_HUB_OFFLINE", "1"},
                          {"NO_PROXY", "127.0.0.1"},
                          {"no_proxy", "127.0.0.1"}}};
}

ProcessResult run_llava(std::vector<std::string> arguments, std::string_view input) {
  ProcessResult result = run_process(program_request(std::move(arguments)), input);
  EXPECT_FALSE(result.has_timed_out);
  EXPECT_LT(result.status, 128 + 1) << "ended by a signal; " << result.err;
  return result;
}

Json json_of(const ProcessResult& result) {
  EXPECT_EQ(result.status, 0) << result.err;
  if (result.status != 0) return {};
  return parse_json(result.out, "standard output");
}

std::string error_of(const ProcessResult& result, int status, const std::string& code) {
  EXPECT_EQ(result.status, status) << result.out << result.err;
  Json document;
  try {
    document = parse_json(result.out, "standard output");
  } catch (const Error& error) {
    ADD_FAILURE() << error.what() << "\n" << result.out << result.err;
    return {};
  }
  if (!document.contains("error")) {
    ADD_FAILURE() << "no error object: " << result.out;
    return {};
  }
  const Json& error = document["error"];
  EXPECT_EQ(error.value("code", ""), code) << error.value("message", "");
  const std::string message = error.value("message", "");
  EXPECT_NE(result.err.find("llava: error: " + message), std::string::npos) << result.err;
  return message;
}

std::string golden_model(const std::string& name) { return (kGolden / "models" / name).string(); }
std::string golden_image(const std::string& name) { return (kGolden / "images" / name).string(); }
std::string golden_bundle(const std::string& name) {
  return (kGolden / "bundles" / (name + ".safetensors")).string();
}

std::filesystem::path shared_golden(const std::string& path) {
  const std::filesystem::path place = source_folder() / ".." / "shared" / "golden" / path;
  return std::filesystem::exists(place) ? std::filesystem::canonical(place)
                                        : std::filesystem::path();
}

std::vector<std::string> ask_golden(const std::string& model, const std::string& image,
                                    const std::string& query) {
  return {"run",
          "--model-path",
          golden_model(model),
          "--image-file",
          image,
          "--query",
          query,
          "--temperature",
          "0",
          "--dtype",
          "float32",
          "--max-new-tokens",
          "8",
          "--json"};
}

std::vector<std::string> operator+(std::vector<std::string> first,
                                   const std::vector<std::string>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace llava::testing
