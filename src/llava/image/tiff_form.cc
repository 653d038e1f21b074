// SPDX-License-Identifier: Apache-2.0
#include "llava/image/tiff_form.h"

#include <tiffio.h>

#include "llava/core/error.h"

namespace llava::image {
namespace {

constexpr uint16_t kMaxSamples = 6;

/// The tags that decide, with the defaults of the published reader where they are absent.
struct Tags {
  uint16_t photometric = PHOTOMETRIC_MINISWHITE;
  uint16_t compression = COMPRESSION_NONE;
  uint16_t sample_format = SAMPLEFORMAT_UINT;
  uint16_t num_extra = 0;
  uint16_t* extra = nullptr;
  bool is_big_endian = false;
};

[[noreturn]] void refuse(const PictureRequest& request, const TiffForm& form, const Tags& tags) {
  fail_unsupported(request, "TIFF",
                   fmt::format("photometric {}, {} samples of {} bits, sample format {}, {} extra "
                               "samples, compression {}",
                               tags.photometric, form.num_samples, form.bits, tags.sample_format,
                               tags.num_extra, tags.compression));
}

TiffAlpha alpha_of(const Tags& tags) {
  if (tags.num_extra == 0) return TiffAlpha::kNone;
  if (tags.extra[0] == EXTRASAMPLE_ASSOCALPHA) return TiffAlpha::kPremultiplied;
  return tags.extra[0] == EXTRASAMPLE_UNASSALPHA ? TiffAlpha::kStraight : TiffAlpha::kNone;
}

bool is_small(uint16_t bits) { return bits == 1 || bits == 2 || bits == 4 || bits == 8; }

bool classify_grey(const Tags& tags, TiffForm& form) {
  const bool is_unsigned = tags.sample_format == SAMPLEFORMAT_UINT;
  if (form.num_samples > 2 || (form.num_samples == 2 && form.bits != 8)) return false;
  form.is_signed = tags.sample_format == SAMPLEFORMAT_INT;
  form.is_float = tags.sample_format == SAMPLEFORMAT_IEEEFP;
  if (is_small(form.bits) && (is_unsigned || (form.is_signed && form.bits == 8))) {
    form.kind = TiffKind::kGrey;
    form.is_inverted = tags.photometric == PHOTOMETRIC_MINISWHITE;
    form.alpha = form.num_samples == 2 ? alpha_of(tags) : TiffAlpha::kNone;
    return form.alpha != TiffAlpha::kPremultiplied && (form.num_samples == 1 || !form.is_inverted);
  }
  form.kind = TiffKind::kGreyClip;
  if (form.num_samples != 1) return false;
  if (form.is_float) return form.bits == 32;
  // Pillow reads neither these with white as zero nor big-endian 32-bit unsigned ones.
  const bool is_plain = tags.photometric == PHOTOMETRIC_MINISBLACK;
  if (form.bits == 16) return is_plain || (is_unsigned && !tags.is_big_endian);
  if (form.bits == 32) return is_plain && (form.is_signed || !tags.is_big_endian);
  return form.bits == 12 && is_unsigned && is_plain && !tags.is_big_endian;
}

/// Kinds of several unsigned colour samples and optional extra ones.
bool classify_colors(const Tags& tags, TiffForm& form, TiffKind kind, uint16_t num_colors) {
  form.kind = kind;
  form.num_colors = num_colors;
  form.alpha = kind == TiffKind::kRgb ? alpha_of(tags) : TiffAlpha::kNone;
  return tags.sample_format == SAMPLEFORMAT_UINT && (form.bits == 8 || form.bits == 16) &&
         form.num_samples >= num_colors;
}

bool classify_ycc(TIFF* file, const Tags& tags, TiffForm& form) {
  if (form.bits != 8 || tags.sample_format != SAMPLEFORMAT_UINT) return false;
  if (form.num_samples == 1) return true;  // luminance only: kGrey
  if (form.num_samples != 3) return false;
  form.num_colors = 3;
  if (tags.compression == COMPRESSION_JPEG && !form.is_planar) {
    form.kind = TiffKind::kRgb;
    return TIFFSetField(file, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB) != 0;
  }
  form.kind = TiffKind::kLibraryRgb;
  if (tags.compression != COMPRESSION_NONE) return true;
  uint16_t horizontal = 0;
  uint16_t vertical = 0;
  TIFFGetFieldDefaulted(file, TIFFTAG_YCBCRSUBSAMPLING, &horizontal, &vertical);
  form.kind = TiffKind::kYcc;
  return horizontal == 1 && vertical == 1;
}

bool classify(TIFF* file, const Tags& tags, TiffForm& form) {
  switch (tags.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
      return classify_grey(tags, form);
    case PHOTOMETRIC_PALETTE:
      form.kind = TiffKind::kPalette;
      form.alpha = form.num_samples == 2 ? alpha_of(tags) : TiffAlpha::kNone;
      return is_small(form.bits) && tags.sample_format == SAMPLEFORMAT_UINT &&
             (form.num_samples == 1 || (form.num_samples == 2 && form.bits == 8)) &&
             form.alpha != TiffAlpha::kPremultiplied;
    case PHOTOMETRIC_RGB:
      return classify_colors(tags, form, TiffKind::kRgb, 3);
    case PHOTOMETRIC_SEPARATED:
      return classify_colors(tags, form, TiffKind::kCmyk, 4);
    case PHOTOMETRIC_YCBCR:
      return classify_ycc(file, tags, form);
    default:
      return false;
  }
}

}  // namespace

TiffForm read_tiff_form(::tiff* file, const PictureRequest& request) {
  TiffForm form;
  uint32_t width = 0;
  uint32_t height = 0;
  TIFFGetField(file, TIFFTAG_IMAGEWIDTH, &width);
  TIFFGetField(file, TIFFTAG_IMAGELENGTH, &height);
  form.size = checked_size(request, width, height);
  uint16_t orientation = 1;
  TIFFGetFieldDefaulted(file, TIFFTAG_ORIENTATION, &orientation);
  form.orientation = orientation >= 1 && orientation <= 8 ? orientation : 1;

  Tags tags;
  tags.is_big_endian = TIFFIsBigEndian(file) != 0;
  uint16_t planar = PLANARCONFIG_CONTIG;
  TIFFGetField(file, TIFFTAG_PHOTOMETRIC, &tags.photometric);
  TIFFGetFieldDefaulted(file, TIFFTAG_COMPRESSION, &tags.compression);
  TIFFGetFieldDefaulted(file, TIFFTAG_SAMPLEFORMAT, &tags.sample_format);
  TIFFGetFieldDefaulted(file, TIFFTAG_EXTRASAMPLES, &tags.num_extra, &tags.extra);
  TIFFGetFieldDefaulted(file, TIFFTAG_PLANARCONFIG, &planar);
  TIFFGetFieldDefaulted(file, TIFFTAG_BITSPERSAMPLE, &form.bits);
  TIFFGetFieldDefaulted(file, TIFFTAG_SAMPLESPERPIXEL, &form.num_samples);
  form.is_planar = planar == PLANARCONFIG_SEPARATE && form.num_samples > 1;
  if (form.num_samples < 1 || form.num_samples > kMaxSamples ||
      tags.compression == COMPRESSION_OJPEG || !TIFFIsCODECConfigured(tags.compression) ||
      !classify(file, tags, form)) {
    refuse(request, form, tags);
  }
  return form;
}

}  // namespace llava::image
