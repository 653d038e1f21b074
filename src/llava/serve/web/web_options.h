// SPDX-License-Identifier: Apache-2.0
//
// How a server shows the web page; the fields are its flags.
#pragma once

#include <cstdint>
#include <string>

#include "llava/core/config.h"

namespace llava::serve {

struct WebOptions {
  std::string model_list_mode = "reload";
  bool embed = false;
  std::string terms_file;
  std::string license_file;
  std::string log_dir;
  std::string log_sink = "file";
  std::string log_sink_url;
  bool no_conv_log = false;
  bool anonymize_ip = false;
  int32_t retention_days = 0;
  int32_t max_text_length = 0;
  int32_t max_picture_text_length = 0;

  template <class V>
  void describe(V& v) {
    v.field("model-list-mode", model_list_mode,
            "when the page asks for the list of models: once, or also whenever it is looked at",
            one_of({"once", "reload"}));
    v.field("embed", embed, "the page without heading, terms and licence, to stand inside another");
    v.field("terms-file", terms_file, "terms of use (Markdown) that the page shows");
    v.field("license-file", license_file, "licence text (Markdown) that the page shows");
    v.field("log-dir", log_dir,
            "folder for the page's conversations and votes, and for the log, a file a day (UTC); "
            "default: nothing is kept");
    v.field(
        "log-sink", log_sink,
        "where the page's conversations and votes go: file (into --log-dir), stdout, a line "
        "each, or http, a JSON document each to --log-sink-url; pictures are kept by file alone",
        one_of({"file", "stdout", "http"}));
    v.field("log-sink-url", log_sink_url,
            "address that gets the page's conversations and votes by POST");
    v.field("no-conv-log", no_conv_log,
            "keep no conversations and votes, whatever the flags above say");
    v.field("anonymize-ip", anonymize_ip, "keep the network part of users' addresses only");
    v.field("retention-days", retention_days,
            "days that conversations and their pictures are kept; 0: always", in_range(0, 36500));
    v.field("max-text-length", max_text_length,
            "characters of a question that the page sends, saying so where it cuts; 0: all",
            in_range(0, 1 << 24));
    v.field("max-picture-text-length", max_picture_text_length,
            "the same of a question with pictures; 0: as without", in_range(0, 1 << 24));
  }
};

}  // namespace llava::serve
