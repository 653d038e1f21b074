// SPDX-License-Identifier: Apache-2.0
//
// Files of the user become pictures that the server takes.
import type { Picture } from '../conversation/conversation';
import { shrink } from './raster';

/// What the server reads as it is.
const SERVER_TYPES = ['image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/bmp', 'image/tiff'];
/// Larger ones are made smaller: a conversation is sent whole each time, and no model sees more.
const MAX_SIDE = 2048;
const MAX_BYTES = 4 << 20;

async function digestOf(file: Blob): Promise<string> {
  // Only pages from a safe origin may compute digests; elsewhere the number of the moment has to do.
  if (!crypto.subtle) return crypto.getRandomValues(new Uint32Array(8)).reduce((text, word) => text + word.toString(16).padStart(8, '0'), '');
  const digest = await crypto.subtle.digest('SHA-256', await file.arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/// Throws: Error in words for the user when the browser cannot read it as a picture.
export async function pictureOf(file: Blob, name: string): Promise<Picture> {
  const isKnown = SERVER_TYPES.includes(file.type);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    // Browsers read no TIFF; the server does.
    if (file.type === 'image/tiff' && file.size <= MAX_BYTES) return { digest: await digestOf(file), name, file };
    throw new Error(`${name} is no picture that this browser can read: use JPEG, PNG, WebP, GIF or BMP`);
  }
  const isSmall = file.size <= MAX_BYTES && Math.max(bitmap.width, bitmap.height) <= MAX_SIDE;
  const isPhotograph = file.type !== 'image/png' && file.type !== 'image/gif' && file.type !== 'image/svg+xml';
  const kept = isKnown && isSmall ? file : await shrink(bitmap, MAX_SIDE, isPhotograph);
  bitmap.close();
  return { digest: await digestOf(kept), name, file: kept };
}

/// The picture files of a drop or a paste.
export function filesOf(transfer: DataTransfer | null): File[] {
  return Array.from(transfer?.files ?? []);
}
