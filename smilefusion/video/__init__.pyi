from ._extractor import FaceMeshExtractor as FaceMeshExtractor
