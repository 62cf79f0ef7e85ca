"""Converts temperatures. It keeps nothing, so it needs no database. Release 2.0.0: in kelvin too."""

from fastapi import FastAPI
from gradual_contract import Gradual

app = FastAPI()
gradual = Gradual(app, features={"kelvin": ["/api/convert"]})


@app.get("/")
async def page() -> str:
    return "converter"


@app.get("/api/convert")
async def convert(celsius: float) -> dict[str, float]:
    answer = {"celsius": celsius, "fahrenheit": round(celsius * 9 / 5 + 32, 2)}
    if gradual.is_on("kelvin"):
        answer["kelvin"] = round(celsius + 273.15, 2)
    return answer
