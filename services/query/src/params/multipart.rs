//! Parses forms as browsers and `curl -F` send them: `multipart/form-data`, RFC 7578.

use axum::body::Body;

/// The fields of a form, without files, in the order sent. The caller limits the size of the body.
pub(crate) async fn read_multipart(body: Body, content_type: &str) -> Result<Vec<(String, String)>, String> {
    let boundary = multer::parse_boundary(content_type).map_err(|e| e.to_string())?;
    let mut form = multer::Multipart::new(body.into_data_stream(), boundary);
    let mut pairs = Vec::new();
    while let Some(field) = form.next_field().await.map_err(|e| e.to_string())? {
        let name = field.name().map(str::to_owned).filter(|_| field.file_name().is_none());
        let bytes = field.bytes().await.map_err(|e| e.to_string())?;
        if let Some(name) = name {
            pairs.push((name, String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    Ok(pairs)
}
